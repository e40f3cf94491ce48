"""The script MLflow runs to load a logged model ("model from code"). It imports no MLflow of its own: registry does."""

from recsys.registry import serve_as_pyfunc
from recsys.serving.frames import FramePredictor

serve_as_pyfunc(FramePredictor.open)
