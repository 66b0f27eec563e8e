"""MkDocs' hook: the pages of the site that are not files of docs/.

The README, CONTRIBUTING.md, CHANGELOG.md and the data sheet stand where GitHub shows them, and the
links between pages are written for GitHub. This hook adds these files to the site and changes the
links to match. It also makes one page of the API reference for each module of `pusht` and `score`,
so that no list of modules can go stale.
"""

import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
# Page of the site: file of the repository.
ADDED = {
    "index.md": "README.md",
    "contributing.md": "CONTRIBUTING.md",
    "changes.md": "CHANGELOG.md",
    "data.md": "data/README.md",
    "shipped.png": "data/shipped.png",
    "human.png": "data/human.png",
}
_PAGES = {file: page for page, file in ADDED.items()}
_LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)#\s]+)")


def modules(package: str) -> list[str]:
    """Return the dotted names of a package's public modules, itself first."""
    paths = sorted((ROOT / package).rglob("*.py"), key=lambda path: path.parts)
    names = [path.relative_to(ROOT).with_suffix("").parts for path in paths]
    public = [name for name in names if not name[-1].startswith("_") or name[-1] == "__init__"]
    return sorted(".".join(name).removesuffix(".__init__") for name in public)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add a page for each module to the navigation: students' packages, then the instructors'."""
    by_group: dict[str, list[Any]] = {"pusht": [], "score": [], "score.course": []}
    for name in modules("pusht") + modules("score"):
        group = "score.course" if name.startswith("score.course") else name.partition(".")[0]
        by_group[group].append({name: f"reference/{name}.md"})
    assert config.nav is not None
    config.nav.append({"API reference": [{group: pages} for group, pages in by_group.items()]})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files from outside of docs/, and the pages of the API reference."""
    for page, file in ADDED.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / file)))
    for name in modules("pusht") + modules("score"):
        content = f"# `{name}`\n\n::: {name}\n"
        files.append(File.generated(config, f"reference/{name}.md", content=content))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Point a page's links at the pages of the site."""
    name = page.file.src_uri
    folder = (ROOT / ADDED.get(name, f"docs/{name}")).parent

    def on_site(link: re.Match[str]) -> str:
        there = (folder / link[1]).resolve()
        if not there.is_relative_to(ROOT) or name.startswith(("reference/", "chapters/")):
            return link[1]
        file = there.relative_to(ROOT).as_posix()
        return _PAGES.get(file, file.removeprefix("docs/"))

    return _LINK.sub(on_site, markdown)
