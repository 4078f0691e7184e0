"""ACL18 as a stream: a parent that knows only what was known in May 2015, updated on June and July.

    python launch/train.py --config=configs/acl18_stream.py
    fusionjax train --config=acl18_stream

Its settings are in fusionjax/configs/acl18_stream.py, which is installed with the package.
"""

from fusionjax.configs.acl18_stream import get_config

__all__ = ["get_config"]
