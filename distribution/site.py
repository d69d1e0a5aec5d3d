"""What the documentation's site (mkdocs.yml) has beside docs/: README, CONTRIBUTING and files that pages link to.

In the repository pages link to each other as they lie on the disk. A link that leaves docs/ is turned to where the site
has that file: as a page, or below `source/` as it is.
"""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "deploy/README.md": "deploy.md",
}
"""Pages outside docs/, and where the site has them."""
LINK = re.compile(r"(?<=\]\()([^)#:\s]+)(?=[)#])")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages outside docs/, and every file outside docs/ that a page links to."""
    for name, where in PAGES.items():
        files.append(File.generated(config, where, content=(ROOT / name).read_text(encoding="utf-8")))
    linked = {target for file in files.documentation_pages() for target in outside(file.src_uri, file.content_string)}
    for target in sorted(linked - set(PAGES)):
        files.append(File.generated(config, f"source/{target}", abs_src_path=str(ROOT / target)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn the links to where the site has what they point to."""
    folder = posixpath.dirname(page.file.src_uri)

    def turned(match: re.Match[str]) -> str:
        return posixpath.relpath(site_path(repository_path(page.file.src_uri, match[1])), folder or ".")

    return LINK.sub(turned, markdown)


def outside(page: str, text: str) -> set[str]:
    """Files outside docs/ that a page links to, as paths of the repository; folders and missing files do not count."""
    targets = {repository_path(page, link) for link in LINK.findall(text)}
    return {target for target in targets if not target.startswith("docs/") and (ROOT / target).is_file()}


def repository_path(page: str, link: str) -> str:
    """What a link points to, as a path of the repository.

    Args:
        page: the page's path in the site's sources.
        link: as the page has it.
    """
    own = {where: name for name, where in PAGES.items()}.get(page, f"docs/{page}")
    return os.path.normpath(posixpath.join(posixpath.dirname(own), link))


def site_path(target: str) -> str:
    """Where the site has a file of the repository."""
    return PAGES.get(target) or (target.removeprefix("docs/") if target.startswith("docs/") else f"source/{target}")
