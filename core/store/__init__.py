"""The content-addressed store: clips, tunings, features and failures under their keys.

```
<root>/clips/<ab>/<key>/clip.mkv      lossless, what is measured
<root>/clips/<ab>/<key>/preview.mp4   for browsers
<root>/clips/<ab>/<key>/record.json   written last: its existence with status "done" means complete
<root>/artifacts/<ab>/<key>/          what tunings made; see `artifacts`
<root>/features/<extractor>/<digest>.parquet   append-only parts, one per finished shard
<root>/failures/<ab>/<key>.json       why a feature could not be made
<root>/leases/<ab>/<key>              who makes what at the moment; see `leases`
<root>/cache/                         digests of files by size and time; may be deleted
<root>/quarantine/                    damaged records, moved aside
```

Every write goes to a temporary name and is renamed, so a kill leaves nothing half-written. A record
that cannot be read is moved to quarantine and counts as missing: the work is done again.
"""

from .clips import ClipCodec, check_clip
from .results import forget_results, has_same_tables, record_results, verify_results
from .store import Store
from .verification import Finding, Verification

__all__ = [
    "ClipCodec",
    "Finding",
    "Store",
    "Verification",
    "check_clip",
    "forget_results",
    "has_same_tables",
    "record_results",
    "verify_results",
]
