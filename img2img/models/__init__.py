"""Networks. Each module owns its config; these unions are the closed sets a recipe may name."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from img2img.config import Renamed
from img2img.models.autoencoder import AutoencoderConfig
from img2img.models.color_unet import ColorUNetConfig
from img2img.models.compact import CompactConfig
from img2img.models.dcgan import DcganDiscriminatorConfig, DcganGeneratorConfig
from img2img.models.gated import GatedConfig
from img2img.models.glcic import GlcicConfig
from img2img.models.global_local import GlobalLocalConfig
from img2img.models.mlp import MlpDiscriminatorConfig, MlpGeneratorConfig
from img2img.models.patchgan import PatchGanConfig
from img2img.models.resnet import ResNetConfig
from img2img.models.restorer import RestorerConfig
from img2img.models.rrdb import RrdbConfig
from img2img.models.span import SpanConfig
from img2img.models.spandrel import SpandrelConfig
from img2img.models.unet import UNetConfig
from img2img.models.unet_discriminator import UNetDiscriminatorConfig

Generator = Annotated[
    UNetConfig
    | ResNetConfig
    | RestorerConfig
    | ColorUNetConfig
    | GatedConfig
    | GlcicConfig
    | DcganGeneratorConfig
    | MlpGeneratorConfig
    | AutoencoderConfig
    | RrdbConfig
    | CompactConfig
    | SpanConfig
    | SpandrelConfig,
    Field(discriminator="kind"),
    Renamed({"colour_unet": "color_unet"}),
]
Discriminator = Annotated[
    PatchGanConfig
    | GlobalLocalConfig
    | UNetDiscriminatorConfig
    | DcganDiscriminatorConfig
    | MlpDiscriminatorConfig,
    Field(discriminator="kind"),
]
