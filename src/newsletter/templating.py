"""Templates: trusted files of the package, any of which a publication may override in its `templates/` folder.

Sandboxed, autoescaped, strict about undefined names. Text of posts and people is never a template.

Pages speak the languages of the catalogues in `web/words/`, English without one: `{% trans %}` and `_("…")` follow
the value `speak`, and where there is none the language of the publication.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from functools import cached_property
from gettext import GNUTranslations, NullTranslations
from pathlib import Path

import jinja2
from jinja2 import nodes
from jinja2.runtime import Context
from jinja2.sandbox import SandboxedEnvironment
from markupsafe import Markup, escape

from newsletter.errors import TemplateError

_REFERRING = (nodes.Extends, nodes.Import, nodes.FromImport, nodes.Include)
PACKAGED = Path(__file__).with_name("templates")
CATALOGUES = "web/words/"


def environment(overrides: Path | None = None) -> jinja2.Environment:
    """Return the environment over the packaged templates, those of `overrides` first.

    Names are paths such as `web/post.html.j2`; only names with `.html` before `.j2` are escaped.
    """
    folders = [folder for folder in (overrides, PACKAGED) if folder is not None and folder.is_dir()]
    env = _environment(jinja2.FileSystemLoader(folders))
    env.add_extension("jinja2.ext.i18n")
    words = Words(env)
    env.extend(words=words)
    env.install_gettext_callables(words.gettext, words.ngettext, newstyle=True)  # type: ignore[attr-defined]  # the extension's
    env.globals["spoken"] = words.spoken
    return env


class Words:
    """The catalogues of an environment, each read from its `.po` file when it is first needed."""

    def __init__(self, env: jinja2.Environment) -> None:
        self._env = env
        self._read: dict[str, NullTranslations] = {"en": NullTranslations()}

    @cached_property
    def languages(self) -> tuple[str, ...]:
        """The languages that pages can speak, English first."""
        assert self._env.loader is not None
        names = self._env.loader.list_templates()
        found = (name.removeprefix(CATALOGUES) for name in names if name.startswith(CATALOGUES))
        return ("en", *(name.removesuffix(".po") for name in found if name.endswith(".po")))

    def choose(self, wanted: Iterable[str]) -> str:
        """Return the first of some language tags that pages can speak, English when they speak none of them."""
        for tag in wanted:
            for spelt in (tag.lower(), tag.lower().partition("-")[0]):
                for known in self.languages:
                    if known.lower() == spelt:
                        return known
        return "en"

    def say(self, language: str, message: str) -> str:
        """Return a message in a language, as it is when there is no translation."""
        return self._catalogue(language).gettext(message)

    @jinja2.pass_context
    def spoken(self, context: Context) -> str:
        """Return the language that the page being rendered speaks."""
        return self.choose([context.get("speak") or context["site"].language])

    @jinja2.pass_context
    def gettext(self, context: Context, message: str) -> str:
        """Translate a message of the page being rendered."""
        return self._catalogue(self.spoken(context)).gettext(message)

    @jinja2.pass_context
    def ngettext(self, context: Context, one: str, many: str, count: int) -> str:
        """Translate a message that counts something."""
        return self._catalogue(self.spoken(context)).ngettext(one, many, count)

    def _catalogue(self, language: str) -> NullTranslations:
        known = self._read.get(language)
        if known is None:
            known = self._read[language] = self._load(language)
        return known

    def _load(self, language: str) -> NullTranslations:
        from babel.messages.mofile import write_mo
        from babel.messages.pofile import PoFileError, read_po

        assert self._env.loader is not None
        name = f"{CATALOGUES}{language}.po"
        source, _, _ = self._env.loader.get_source(self._env, name)
        try:
            catalogue = read_po(io.StringIO(source), abort_invalid=True)
        except (PoFileError, ValueError) as e:
            raise TemplateError(f"not a catalogue: {e}", where=name, remedy="Mend the file") from e
        for message, faults in catalogue.check():
            what = f"the translation of {str(message.id)[:60]!r} is wrong: {faults[0]}"
            raise TemplateError(what, where=f"{name}:{message.lineno}", remedy="Mend that line")
        compiled = io.BytesIO()
        write_mo(compiled, catalogue)
        compiled.seek(0)
        return GNUTranslations(compiled)


def _environment(loader: jinja2.BaseLoader) -> jinja2.Environment:
    env = SandboxedEnvironment(
        loader=loader,
        autoescape=lambda name: name is None or ".html" in name or ".xml" in name,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )
    env.filters["sentence"] = sentence
    return env


@jinja2.pass_eval_context
def sentence(context: nodes.EvalContext, pattern: str, **said: object) -> str:
    """Fill the `{…}` of a sentence, each by what was said for it; what is missing becomes empty."""
    pieces: list[object] = []
    for piece in pattern.split("{"):
        name, brace, rest = piece.partition("}")
        pieces += [said.get(name, ""), rest] if brace else [piece]
    if context.autoescape:
        return Markup("").join(escape(one) for one in pieces)
    return "".join(str(one) for one in pieces)


class TemplateSet:
    """A few templates and all that they include, held as texts: what is rendered later is what was read once."""

    def __init__(self, sources: Mapping[str, str]) -> None:
        """Hold these texts, by name."""
        self.sources = dict(sources)
        self._env = _environment(jinja2.FunctionLoader(self._load))

    def _load(self, name: str) -> tuple[str, str, None] | None:
        return (self.sources[name], name, None) if name in self.sources else None

    def render(self, name: str, **values: object) -> str:
        """Render one of the templates."""
        return render(self._env, name, **values)

    @cached_property
    def trees(self) -> dict[str, nodes.Template]:
        """The syntax tree of each; TemplateError with file and line for what is no template."""
        return {name: _parse(self._env, name, source) for name, source in self.sources.items()}


def template_set(env: jinja2.Environment, *names: str) -> TemplateSet:
    """Read templates and all that they include; an include whose name is computed is an error."""
    assert env.loader is not None
    sources: dict[str, str] = {}
    wanted = {name: name for name in names}
    while wanted:
        name, where = wanted.popitem()
        try:
            sources[name] = env.loader.get_source(env, name)[0]
        except jinja2.TemplateNotFound as e:
            raise TemplateError(f"the template {name} is missing", where=where, remedy="Add the file") from e
        for node in _parse(env, name, sources[name]).find_all(_REFERRING):
            assert isinstance(node, _REFERRING)
            where, other = f"{name}:{node.lineno}", node.template
            if not isinstance(other, nodes.Const) or not isinstance(other.value, str):
                what = "an included template must be named"
                raise TemplateError(what, where=where, remedy="Write its name as a text")
            if other.value not in sources:
                wanted[other.value] = where
    return TemplateSet({name: sources[name] for name in sorted(sources)})


def _parse(env: jinja2.Environment, name: str, source: str) -> nodes.Template:
    try:
        return env.parse(source, name, name)
    except jinja2.TemplateSyntaxError as e:
        where = f"{name}:{e.lineno}"
        raise TemplateError(e.message or "a syntax error", where=where, remedy="Mend that line") from e


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
