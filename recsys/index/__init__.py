"""Vector indexes: exact search as the yardstick, Annoy as the exported default, and the recall gate between them."""

from recsys.index.annoy_index import AnnoyIndex
from recsys.index.exact import ExactIndex
from recsys.index.export import IndexExport, export_index, load_index, vectors_digest
from recsys.index.protocol import Index

__all__ = ["AnnoyIndex", "ExactIndex", "Index", "IndexExport", "export_index", "load_index", "vectors_digest"]
