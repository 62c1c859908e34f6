"""A software bill of materials (`img2img env --sbom`): the packages that img2img works with here,
and the models that it finds, in CycloneDX's form.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from typing import TYPE_CHECKING

from img2img.errors import UserError

if TYPE_CHECKING:
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component
    from cyclonedx.model.license import License

ROOT = "img2img"


def bill_of_materials() -> str:
    """CycloneDX 1.6 as JSON: img2img, the closure of its installed requirements with versions and
    licences, and the models with their SHA-256 and terms.

    Raises UserError where `cyclonedx-python-lib` (extra `sbom`) is missing.
    """
    try:
        from cyclonedx.output.json import JsonV1Dot6
    except ImportError:
        raise UserError(
            "needs CycloneDX", field="sbom", remedy="pip install 'img2img[sbom]'"
        ) from None
    return JsonV1Dot6(_bill()).output_as_string(indent=2)


def _bill() -> Bom:
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import ComponentType

    installed = installed_requirements()
    components = {name: _component(name, found.package) for name, found in installed.items()}
    application = components[ROOT]
    application.type = ComponentType.APPLICATION
    models = list(_models())
    bill = Bom(
        components=[*(one for one in components.values() if one is not application), *models]
    )
    bill.metadata.component = application
    for name, found in installed.items():
        needs = [components[other] for other in found.requires if other in components]
        bill.register_dependency(components[name], needs + (models if name == ROOT else []))
    return bill


@dataclass(frozen=True)
class InstalledPackage:
    """A package of the closure, and the names of what it requires here."""

    package: Distribution
    requires: tuple[str, ...]


def installed_requirements() -> dict[str, InstalledPackage]:
    """img2img and all that it requires, directly or not, as far as it is installed, by name: with
    img2img's own extras, and those that requirements ask for.
    """
    found: dict[str, InstalledPackage] = {}
    waiting = {ROOT: frozenset(distribution(ROOT).metadata.get_all("Provides-Extra") or [])}
    done: dict[str, frozenset[str]] = {}
    while waiting:
        name, extras = waiting.popitem()
        done[name] = extras = extras | done.get(name, frozenset())
        with suppress(PackageNotFoundError):  # an extra that is not installed
            package = distribution(name)
            requirements = _requirements(package, extras)
            found[name] = InstalledPackage(package, tuple(sorted(requirements)))
            for other, asked in requirements.items():
                if other not in done or not asked <= done[other]:
                    waiting[other] = asked | waiting.get(other, frozenset())
    return found


def _requirements(package: Distribution, extras: frozenset[str]) -> dict[str, frozenset[str]]:
    """What a package with these extras requires on this machine, and which extras of that."""
    from packaging.requirements import Requirement

    required: dict[str, frozenset[str]] = {}
    for one in map(Requirement, package.requires or []):
        marker = one.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            name = _plain(one.name)
            required[name] = required.get(name, frozenset()) | frozenset(one.extras)
    return required


def _component(name: str, package: Distribution) -> Component:
    from cyclonedx.model.component import Component
    from packageurl import PackageURL

    return Component(
        name=package.name,
        version=package.version,
        bom_ref=f"{name}=={package.version}",
        purl=PackageURL("pypi", name=name, version=package.version),
        licenses=_licenses(_terms(package)),
    )


def _models() -> Iterator[Component]:
    """The models that ship, and those of installed packages."""
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.component import Component, ComponentType

    from img2img.zoo.catalogue import CATALOGUE
    from img2img.zoo.verification import verified_models

    for verified in verified_models():
        if verified.sha256:
            card = CATALOGUE.entry(verified.name).card
            yield Component(
                name=verified.name,
                version=card.version or None,
                bom_ref=f"model:{verified.name}",
                type=ComponentType.MACHINE_LEARNING_MODEL,
                description=f"terms of the training data: {card.data_terms}",
                hashes=[HashType(alg=HashAlgorithm.SHA_256, content=verified.sha256)],
                licenses=_licenses(card.terms),
            )


def _terms(package: Distribution) -> str:
    """The licence as the package's metadata name it; a text of more than a line is left out."""

    def stated(field: str) -> list[str]:
        return package.metadata.get_all(field) or []

    one_line = [
        text
        for field in ("License-Expression", "License")
        for text in stated(field)
        if text and "\n" not in text
    ]
    named = [text.rpartition(" :: ")[2] for text in stated("Classifier") if "License" in text]
    return one_line[0] if one_line else ", ".join(named)


def _licenses(terms: str) -> list[License]:
    from cyclonedx.contrib.license.factories import LicenseFactory

    return [LicenseFactory().make_from_string(terms)] if terms else []


def _plain(name: str) -> str:
    """A name as the index normalizes it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
