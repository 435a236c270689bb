"""What the hub says of a model, before any weights are fetched; its refusals in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from apdm.errors import InputError, one_line

# Models that moved on the hub, and some that are gone (they answer 401 since November 2025).
MOVED = {"runwayml/stable-diffusion-v1-5": "stable-diffusion-v1-5/stable-diffusion-v1-5"}
GONE = {
    "stabilityai/stable-diffusion-2-1-base": "give a local copy's folder",
    "stabilityai/stable-diffusion-2-1": "give a local copy's folder",
}
LOG_IN = "log in with 'hf auth login'"


def current_name(model: str) -> str:
    """The hub id under which `model` is found now. Raises `InputError` for one that is gone."""
    model = MOVED.get(model, model)
    if model in GONE:
        raise InputError(f"model '{model}' is no longer on the hub", fix=GONE[model])
    return model


def fetch_index(model: str) -> dict[str, Any]:
    """`model_index.json` of a hub id; from this machine if the hub does not answer. Raises `InputError`."""
    from huggingface_hub import errors, hf_hub_download

    try:
        return json.loads(Path(hf_hub_download(model, "model_index.json")).read_text())
    except errors.GatedRepoError as error:
        raise InputError(
            f"model '{model}' is gated", fix=f"accept its terms on the hub and {LOG_IN}"
        ) from error
    except errors.RepositoryNotFoundError as error:  # the hub says 401 for a private and for a missing one
        raise InputError(
            f"the hub shows no model '{model}'", fix=f"check the name, or {LOG_IN} if it is private"
        ) from error
    except errors.LocalEntryNotFoundError as error:
        raise InputError(
            f"the hub does not answer, and model '{model}' is not on this machine",
            fix="connect, or give a local folder or file",
        ) from error
    except errors.EntryNotFoundError as error:
        raise InputError(f"model '{model}' has no model_index.json", fix="give a diffusers model") from error
    except (OSError, ValueError) as error:
        raise InputError(
            f"model '{model}' could not be fetched ({one_line(error)})", fix="check the name, or try later"
        ) from error
