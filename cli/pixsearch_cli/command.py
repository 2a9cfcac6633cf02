"""The behaviour that all commands share."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from typer.core import TyperCommand, TyperOption

if TYPE_CHECKING:
    from typer._click.core import Context


class Command(TyperCommand):
    """A command that rejects an option that is given more than once, unless the option is repeatable."""

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        _, _, given = self.make_parser(ctx).parse_args(list(args))
        for option, times in Counter(given).items():
            if times > 1 and isinstance(option, TyperOption) and not (option.multiple or option.count):
                ctx.fail(f"{max(option.opts, key=len)} was given {times} times. Use it only once")
        return super().parse_args(ctx, args)
