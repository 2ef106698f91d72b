"""Pages that are not in `docs/`: the reference from the code, the notebook, and files of the repository's folder."""

import json
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from deployments.reference import pages

ROOT = Path(__file__).resolve().parents[1]
_COPIES = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
_FILES = {"LICENSE": "LICENSE.txt", "CITATION.cff": "CITATION.cff"}
_NOTEBOOK = ROOT / "docs" / "notebooks" / "kits.ipynb"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages and files that are made now."""
    made = pages() | {page: _moved((ROOT / name).read_text(encoding="utf-8")) for name, page in _COPIES.items()}
    made |= {page: (ROOT / name).read_text(encoding="utf-8") for name, page in _FILES.items()}
    made["how-to/notebook.md"] = _of_notebook(json.loads(_NOTEBOOK.read_text(encoding="utf-8")))
    made["how-to/kits.ipynb"] = _NOTEBOOK.read_text(encoding="utf-8")
    for path, content in made.items():
        files.append(File.generated(config, path, content=content))
    return files


def _moved(text: str) -> str:
    """The text of a file that lies beside `docs/`, with the links that it has as a page in it."""
    text = re.sub(r"\]\(docs/", "](", text)
    for name, page in (_COPIES | _FILES).items():
        text = text.replace(f"]({name})", f"]({page})")
    return text


def _of_notebook(notebook: dict) -> str:
    """The notebook as a page: its text, and its code as blocks."""
    cells = ("".join(cell["source"]) for cell in notebook["cells"])
    kinds = (cell["cell_type"] for cell in notebook["cells"])
    return "\n\n".join(
        f"```python\n{text}\n```" if kind == "code" else text for kind, text in zip(kinds, cells, strict=True)
    )
