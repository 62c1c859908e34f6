"""Answers to errors: a sentence, never null, a traceback, or a path of this machine."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import gradio as gr
from fastapi.exceptions import RequestValidationError
from gradio.route_utils import FnIndexInferError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from img2img.errors import UserError
from img2img_apps.checks import check_values, completed
from img2img_apps.fair_queue import RETRY_AFTER_S
from img2img_apps.jobs import Stopped
from img2img_apps.tools.controls import Control
from img2img_apps.wording import for_the_api

log = logging.getLogger("img2img")
_AMISS = "a value is not of the kind this takes, or names a file that was not uploaded here"
_NOT_A_CALL = (
    "this is no call that can be understood: "
    "/gradio_api/info lists the endpoints and what they take"
)


class Page(gr.Blocks):
    """Gradio's page, whose every error is in words; the values of endpoints are looked at first."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.controls: dict[str, Sequence[Control]] = {}
        """The parameters of each endpoint."""

    async def preprocess_data(
        self, block_fn: Any, inputs: list[Any], state: Any, explicit_call: bool = False
    ) -> Any:
        """Raises gr.Error for values nobody can work with: the client's mistake, so nothing goes to
        the log.
        """
        try:
            if block_fn.api_visibility == "public" and not explicit_call:
                controls = self.controls[f"{block_fn.api_name}"]
                inputs = completed(controls, inputs)
                check_values(controls, inputs)
            return await super().preprocess_data(block_fn, inputs, state, explicit_call)
        except UserError as error:
            raise _worded(error.phrase) from None
        except gr.Error as error:
            raise _worded(error.message) from None
        except Exception:
            log.debug("values of %s", block_fn.api_name, exc_info=True)
            raise _worded(_AMISS) from None

    async def process_api(self, *args: Any, **more: Any) -> dict[str, Any]:
        """Raises gr.Error and nothing else."""
        try:
            return await super().process_api(*args, **more)
        except gr.Error:
            raise
        except UserError as error:
            raise _worded(error.phrase) from None
        except Stopped:
            raise _worded("stopped") from None
        except Exception as error:
            log.exception("app")
            raise _worded(f"that failed on our side ({type(error).__name__})") from None


def handlers() -> dict[Any, Any]:
    """Answers to errors outside of endpoints."""
    return {
        HTTPException: _http,
        UserError: _mistake,
        RequestValidationError: _no_call(422),
        FnIndexInferError: _no_call(404),
        Exception: _unexpected,
    }


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    words = for_the_api(error.detail) if isinstance(error.detail, str) else error.detail
    headers = {**(error.headers or {})}
    if error.status_code == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = f"{RETRY_AFTER_S}"
    return JSONResponse({"error": words, "detail": words}, error.status_code, headers)


async def _mistake(request: Request, error: Exception) -> Response:
    """What somebody asked of an address outside of the endpoints cannot be done."""
    assert isinstance(error, UserError)
    words = for_the_api(error.phrase)
    return JSONResponse({"error": words, "detail": words}, 400)


def _no_call(status: int) -> Any:
    """The answer to a request that names no endpoint, or gives no values that can be read."""

    async def answer(request: Request, error: Exception) -> Response:
        return JSONResponse({"error": _NOT_A_CALL, "detail": _NOT_A_CALL}, status)

    return answer


async def _unexpected(request: Request, error: Exception) -> Response:
    """Anything else outside of `process_api`: a call of something that does not exist."""
    log.debug("%s", request.url.path, exc_info=error)
    return JSONResponse({"error": _NOT_A_CALL, "detail": _NOT_A_CALL}, 400)


def _worded(message: str) -> gr.Error:
    return gr.Error(for_the_api(message), print_exception=False)
