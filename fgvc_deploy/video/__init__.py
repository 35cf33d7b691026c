"""Video in and out: frame sources of every kind, and a writer.  Tracking and drawing live elsewhere."""

from fgvc_deploy.video.base import Frame, FrameSource
from fgvc_deploy.video.source import SOURCE_KINDS, Source, SourceKind, open_source

__all__ = ["SOURCE_KINDS", "Frame", "FrameSource", "Source", "SourceKind", "open_source"]
