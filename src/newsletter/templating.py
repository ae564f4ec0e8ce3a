"""Templates: trusted files of the package, any of which a publication may override in its `templates/` folder.

Sandboxed, autoescaped, strict about undefined names. Text of posts and people is never a template.
"""

from __future__ import annotations

from pathlib import Path

import jinja2
from jinja2.sandbox import SandboxedEnvironment

from newsletter.errors import TemplateError

PACKAGED = Path(__file__).with_name("templates")


def environment(overrides: Path | None = None) -> jinja2.Environment:
    """Return the environment over the packaged templates, those of `overrides` first.

    Names are paths such as `web/post.html.j2`; only names with `.html` before `.j2` are escaped.
    """
    folders = [folder for folder in (overrides, PACKAGED) if folder is not None and folder.is_dir()]
    return SandboxedEnvironment(
        loader=jinja2.FileSystemLoader(folders),
        autoescape=lambda name: name is None or ".html" in name or ".xml" in name,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )


def render(env: jinja2.Environment, name: str, **values: object) -> str:
    """Render a template; what is wrong with it becomes a TemplateError that names file and line."""
    try:
        return env.get_template(name).render(**values)
    except jinja2.TemplateSyntaxError as e:
        where = f"{e.filename or e.name or name}:{e.lineno}"
        raise TemplateError(e.message or "a syntax error", where=where, remedy="Mend that line") from e
    except jinja2.TemplateNotFound as e:
        raise TemplateError(f"the template {e.name} is missing", where=name, remedy="Add the file") from e
    except jinja2.TemplateError as e:
        where = _line(e, name)
        raise TemplateError(e.message or type(e).__name__, where=where, remedy="Mend that line") from e


def _line(error: BaseException, name: str) -> str:
    trace, where = error.__traceback__, name
    while trace is not None:
        if trace.tb_frame.f_code.co_filename.endswith(".j2"):
            where = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
        trace = trace.tb_next
    return where
