"""Great Expectations' data docs, served to whoever is logged in to Airflow.

The web application is built at the first request: plugins are also imported by the scheduler and by every task,
which serve nothing.
"""

from typing import Any

PREFIX = "/recsys-data-docs"


def page_of(uri: str) -> str:
    """Return the page's path below the data docs' root for a stored address; the index when there is none."""
    _, found, page = uri.partition("/data_docs/")
    return page if found else "index.html"


class DataDocsApp:
    """An ASGI application over `<storage>/data_docs`."""

    def __init__(self) -> None:
        self._app: Any = None  # Any: FastAPI, imported late

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # Any: ASGI's own types
        """Answer one request."""
        if self._app is None:
            self._app = _build()
        await self._app(scope, receive, send)


def _build() -> Any:
    from airflow.api_fastapi.core_api.security import get_user
    from fastapi import Depends, FastAPI, HTTPException
    from fastapi.responses import FileResponse

    from recsys.config import load_config
    from recsys.storage import join, local_path

    app = FastAPI(title="recsys data docs", docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/{page:path}", dependencies=[Depends(get_user)])
    def read(page: str) -> FileResponse:
        root = local_path(join(load_config().storage, "data_docs")).resolve()
        path = (root / (page or "index.html")).resolve()
        if not path.is_relative_to(root) or not path.is_file():
            raise HTTPException(404, "no such page: the data docs are written when recsys_data validates")
        return FileResponse(path)

    return app
