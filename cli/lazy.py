"""A group of commands that is imported when it is used, not when it is listed."""

from __future__ import annotations

import importlib
from typing import Any

from typer.core import TyperGroup
from typer.main import get_command

from ..core.errors import ReelbenchError


class LazyGroup(TyperGroup):
    """The commands of the typer app `app` in `module`.

    Args:
        name: the group's name on the command line.
        module: where the app is.
        help: shown in the list of commands, without importing.
        context_settings: of the group and its commands.
    """

    def __init__(self, name: str, module: str, help: str, context_settings: dict[str, Any]) -> None:
        super().__init__(name=name, help=help, no_args_is_help=True, context_settings=context_settings)
        self._module = module
        self._loaded: Any = None

    def list_commands(self, ctx: Any) -> list[str]:
        """Their names, for the group's help."""
        commands: list[str] = self._load().list_commands(ctx)
        return commands

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of a name, None where there is none."""
        return self._load().get_command(ctx, cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that was typed; the loaded group suggests names that are near."""
        return self._load().resolve_command(ctx, args)

    def _load(self) -> Any:
        if self._loaded is None:
            try:
                module = importlib.import_module(self._module)
            except ModuleNotFoundError as error:
                if error.name != self._module:
                    raise
                raise ReelbenchError(
                    f"the commands of `reelbench {self.name}` are not installed (no module {self._module})",
                    "install Reelbench from its repository",
                ) from None
            self._loaded = get_command(module.app)
        return self._loaded
