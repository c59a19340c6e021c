"""What the commands share that need the extra web."""

from __future__ import annotations

from cli.shared.usage import WrongUsage

_MODULES = ("starlette", "jinja2", "markupsafe", "uvicorn", "anyio")


def extra_missing(command: str, error: ModuleNotFoundError) -> Exception:
    """What to raise when a module is missing: that the extra is, or the error itself for any other module."""
    if (error.name or "").partition(".")[0] not in _MODULES:
        return error
    return WrongUsage(
        f"{command} needs Starlette and Jinja2, which come with the extra web: pip install 'netbasis[web]'"
    )
