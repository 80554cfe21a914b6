"""All existing pictures, in the order in which they tell a story."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from sae import kinds
from sae.errors import InputError, show
from sae.pictures import losses, scatter
from sae.pictures.picture import ROOM, Picture


@cache
def ours() -> tuple[Picture, ...]:
    """One of each file in this room."""
    found = [kinds.find(name, ROOM, Picture, "pictures")() for name in kinds.names(ROOM, Picture)]
    return tuple(sorted(found, key=lambda picture: picture.rank))


def with_own(settings: Any) -> tuple[Picture, ...]:
    """Ours and a user's own.

    Args:
        settings: A list of descriptions of the user's; None for none.

    Raises:
        InputError: It is no such list, or one of them is no picture.
    """
    if settings is None:
        return ours()
    if not isinstance(settings, Sequence) or isinstance(settings, str):
        remedy = "write [my_package.MyPicture]"
        raise InputError("pictures", "a list of pictures", show(settings), remedy)
    own = [kinds.build(each, ROOM, Picture, f"pictures[{k}]") for k, each in enumerate(settings)]
    return (*ours(), *own)


def captions() -> dict[str, str]:
    """What each of ours shows, by name."""
    of_runs = {"losses": losses.CAPTION, scatter.NAME: scatter.CAPTION}
    return {**of_runs, **{picture.name: picture.caption for picture in ours()}}
