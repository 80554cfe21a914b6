"""The options of a datamodule, with or without a model."""

from __future__ import annotations

import inspect
from typing import Any

from jsonargparse import Namespace
from lightning import LightningDataModule

from sae.cli.usage import OneSentenceParser
from sae.data import SampleDataModule
from sae.errors import InputError, error_prefix


def add_data_options(parser: Any) -> None:
    """Add ``--data`` with the options of the datamodule that it names."""
    parser.add_lightning_class_args(SampleDataModule, "data", subclass_mode=True)


def make_data(named: Namespace) -> SampleDataModule:
    """Build the datamodule that parsed options name; it reads nothing yet.

    Args:
        named: ``class_path`` and ``init_args``.

    Raises:
        InputError: An option is wrong.
    """
    wrong: list[Exception] = []

    def make(kind: type, /, *args: Any, **kwargs: Any) -> Any:
        try:
            with error_prefix("data"):
                check_arguments(kind, *args, **kwargs)
                return kind(*args, **kwargs)
        except Exception as error:
            wrong.append(error)
            raise

    parser = OneSentenceParser()
    add_data_options(parser)
    parser.add_instantiator(make, LightningDataModule, subclasses=True)
    try:
        return parser.instantiate_classes(Namespace(data=named)).data
    except Exception as error:  # the parser hides the message of our class
        raise (wrong or [error])[0] from None


def set_up(data: SampleDataModule) -> None:
    """Let a datamodule read and split its samples; it does so once."""
    data.prepare_data()
    with error_prefix("data"):
        data.setup()


def check_arguments(kind: type, /, *args: Any, **kwargs: Any) -> None:
    """Refuse arguments that a class does not take; jsonargparse does not check ``dict_kwargs``."""
    try:
        inspect.signature(kind).bind(*args, **kwargs)
    except TypeError as error:
        expected, found = f"options of {kind.__name__}", f"others ({error})"
        raise InputError("dict_kwargs", expected, found, "write them below init_args") from None
