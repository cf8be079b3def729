"""kloupe: a loupe for the Linux kernel. `compile` makes an Image of a script; the command runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .image import Image
    from .kernel.target import Target

__version__ = "0.1.0"
__all__ = ["__version__", "compile"]


def compile(text: str, target: Target | None = None, *, name: str = "script", params: tuple[str, ...] = ()) -> Image:
    """Compile a script for `target` (this machine by default): a pure function of its arguments and the target's facts.

    `params` are the positional parameters `$1`, `$2`, ... Raises ScriptError with diagnostics, or TargetError when the
    target cannot be asked.
    """
    from .base.source import Source
    from .codegen.pipeline import compile_script
    from .sema.analyzer import CompileOptions

    if target is None:
        from .cli.machine import live_target

        target = live_target()
    image = compile_script(Source(name, text), target, CompileOptions(params=params)).image
    assert image is not None
    return image
