"""The facts of every cloud, by name; settings and policies know all of them, whether or not an adapter is there.

To add a cloud, add its line here. Nothing is asked of anybody.
"""

from __future__ import annotations

from typing import Final

from imageferry.clouds.aliyun.facts import FACTS as ALIYUN
from imageferry.clouds.huawei.facts import FACTS as HUAWEI
from imageferry.clouds.jdcloud.facts import FACTS as JDCLOUD
from imageferry.clouds.tencent.facts import FACTS as TENCENT
from imageferry.core.facts import CloudFacts

FACTS: Final[dict[str, CloudFacts]] = {
    "tencent": TENCENT,
    "aliyun": ALIYUN,
    "huawei": HUAWEI,
    "jdcloud": JDCLOUD,
}
"""Cloud name -> what is known about it."""
