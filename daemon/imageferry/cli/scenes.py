"""The little worlds that ``demo`` and ``rehearse`` put on: images, buckets and mishaps at each rehearsal cloud.

Data only: the stage serves it, the demo plays it and knows from here how it ought to end. Nothing here runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from imageferry.core.machine import State
from imageferry.rehearsal.aliyun_options import AliyunOptions
from imageferry.rehearsal.huawei_options import AGENCY, HuaweiOptions
from imageferry.rehearsal.jdcloud_options import ROLE, JdcloudOptions
from imageferry.rehearsal.misbehaviour import Misbehaviour
from imageferry.rehearsal.options import RehearsalOptions
from imageferry.rehearsal.registry import Options
from imageferry.rehearsal.store import NewImage


class Part(NamedTuple):
    """An image of a scene, and how its jobs ought to end."""

    image: NewImage
    ends: Mapping[str, State]
    """``export`` or ``copy <region>`` -> the end state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """The world of one rehearsal cloud."""

    cloud: str
    options: Options
    regions: tuple[str, ...]
    """Those that the account lists."""
    running: int
    """How many exports and how many copies may run at once in a region."""
    parts: Sequence[Part]
    faults: Sequence[Misbehaviour]
    policies: str
    """A policy file."""
    stranger: str
    """The id of an image that an event speaks of and the cloud does not have."""
    newcomer: NewImage
    """An image that a person may add later."""
    mend: Mapping[str, object]
    """Options that, once changed, let a job be done that was refused."""
    mended: tuple[str, str]
    """That job: its image's id, and its action as in ``ends``."""

    @property
    def doubted(self) -> str:
        """The image whose task is started while the answer is lost."""
        return next(fault.image_id or "" for fault in self.faults if fault.work == "done")


_HOME: Final = "ap-guangzhou"
_NEAR: Final = "ap-shanghai"
_FAR: Final = "ap-hongkong"
_WHOLE: Final[Mapping[str, State]] = {"export": "succeeded"}
_NEVER: Final[Mapping[str, State]] = {"export": "failed"}

_TENCENT_POLICIES: Final = """\
# Which images, and what is to be done with them. Docs: docs/policies.md
policies:
  - name: archive-production
    description: Every image of production goes to the archive of its region
    match:
      cloud: tencent
      name: "prod-*"
    actions:
      - export: {bucket: "archive-{region}-1250000000", format: qcow2, prefix: archive}

  - name: payment-elsewhere
    description: The payment system could be started in two other regions
    match:
      cloud: tencent
      os: linux
      tags: {system: payment}
    actions:
      - copy: {regions: [ap-shanghai, ap-hongkong]}
"""

_TENCENT: Final = Scene(
    cloud="tencent",
    options=RehearsalOptions(
        regions=(_HOME, _NEAR, _FAR),
        buckets={f"archive-{region}-1250000000": region for region in (_HOME, _NEAR)},
        exports_running=3,
        copies_running=3,
        export_seconds=4.0,
        copy_seconds=5.0,
        duration_spread=0.3,
        refused_destinations={_FAR: "UnsupportedOperation.Region"},
    ),
    regions=(_HOME, _NEAR, _FAR),
    running=3,
    parts=(
        Part(NewImage(region=_HOME, image_id="img-web00001", name="prod-web-01"), _WHOLE),
        Part(NewImage(region=_HOME, image_id="img-web00002", name="prod-web-02"), _WHOLE),
        Part(NewImage(region=_HOME, image_id="img-db000001", name="prod-db-01", data_disks_gib=(100,)), _WHOLE),
        Part(
            NewImage(region=_HOME, image_id="img-pay00001", name="prod-pay-01", tags={"system": "payment"}),
            {"export": "succeeded", f"copy {_NEAR}": "succeeded", f"copy {_FAR}": "failed"},
        ),
        Part(NewImage(region=_HOME, image_id="img-new00001", name="prod-build-481", ready_seconds=7.0), _WHOLE),
        Part(
            NewImage(
                region=_HOME,
                image_id="img-desktop1",
                name="prod-desktop",
                platform="Windows",
                os_name="Windows Server 2022 DataCenter 64bit",
            ),
            _NEVER,
        ),
        Part(NewImage(region=_HOME, image_id="img-vault001", name="prod-vault", encrypted=True), _NEVER),
        Part(NewImage(region=_HOME, image_id="img-market01", name="prod-appliance", market_derived=True), _NEVER),
        Part(NewImage(region=_HOME, image_id="img-temp0001", name="tmp-debug-7"), {}),
        Part(NewImage(region=_NEAR, image_id="img-web00003", name="prod-web-03", os_name="TencentOS Server 4"), _WHOLE),
        Part(NewImage(region=_NEAR, image_id="img-report01", name="prod-report-01", size_gib=50), _WHOLE),
        Part(
            NewImage(
                region=_NEAR,
                image_id="img-redhat01",
                name="prod-erp",
                platform="RedHat",
                os_name="Red Hat Enterprise Linux 9.2 64bit",
            ),
            _NEVER,
        ),
    ),
    faults=(
        Misbehaviour(fault="drop", action="ExportImages", image_id="img-db000001", work="done", count=1),
        Misbehaviour(fault="throttle", action="ExportImages", image_id="img-web00002", count=1),
    ),
    policies=_TENCENT_POLICIES,
    stranger="img-gone0001",
    newcomer=NewImage(region=_HOME, image_id="img-mine0001", name="prod-mine"),
    mend={"refused_destinations": {}},
    mended=("img-pay00001", f"copy {_FAR}"),
)

_HANGZHOU: Final = "cn-hangzhou"
_EASTERN: Final = "cn-shanghai"
_SINGAPORE: Final = "ap-southeast-1"

_ALIYUN_POLICIES: Final = f"""\
# Which images, and what is to be done with them. Docs: docs/policies.md
policies:
  - name: archive-media
    description: Every image of the media system goes to the archive of its region
    match:
      cloud: aliyun
      name: "media-*"
    actions:
      - export: {{bucket: "media-{{region}}", prefix: media}}

  - name: catalog-elsewhere
    description: The catalog could be served from two other regions
    match:
      cloud: aliyun
      os: linux
      name: "*-catalog"
    actions:
      - copy: {{regions: [{_EASTERN}, {_SINGAPORE}]}}
"""

_ALIYUN: Final = Scene(
    cloud="aliyun",
    options=AliyunOptions(
        regions=(_HANGZHOU, _EASTERN, _SINGAPORE),
        buckets={f"media-{_HANGZHOU}": _HANGZHOU},
        exports_running=3,
        export_seconds=4.0,
        copy_seconds=4.0,
        duration_spread=0.3,
        refused_destinations={_SINGAPORE: "OperationDenied.NonCompliantDestinationRegion"},
    ),
    regions=(_HANGZHOU, _EASTERN, _SINGAPORE),
    running=3,
    parts=(
        Part(NewImage(region=_HANGZHOU, image_id="m-mediaweb0000000001", name="media-web"), _WHOLE),
        Part(
            NewImage(region=_HANGZHOU, image_id="m-mediadb00000000001", name="media-db", data_disks_gib=(50,)), _WHOLE
        ),
        Part(
            NewImage(region=_HANGZHOU, image_id="m-mediacatalog000001", name="media-catalog"),
            {"export": "succeeded", f"copy {_EASTERN}": "succeeded", f"copy {_SINGAPORE}": "failed"},
        ),
        Part(
            NewImage(
                region=_HANGZHOU,
                image_id="m-mediastudio0000001",
                name="media-studio",
                platform="Windows",
                os_name="Windows Server 2022 Datacenter 64bit",
            ),
            _NEVER,
        ),
        Part(
            NewImage(region=_HANGZHOU, image_id="m-mediaplayer0000001", name="media-player", market_derived=True),
            _NEVER,
        ),
    ),
    faults=(Misbehaviour(fault="drop", action="ExportImage", image_id="m-mediadb00000000001", work="done", count=1),),
    policies=_ALIYUN_POLICIES,
    stranger="m-mediagone000000001",
    newcomer=NewImage(region=_HANGZHOU, image_id="m-mediamine000000001", name="media-mine"),
    mend={"refused_destinations": {}},
    mended=("m-mediacatalog000001", f"copy {_SINGAPORE}"),
)

_BEIJING: Final = "cn-north-4"
_SHANGHAI: Final = "cn-east-3"
_GUANGZHOU: Final = "cn-south-1"
_STANDBY: Final = f"{_SHANGHAI}_standby"

_HUAWEI_POLICIES: Final = f"""\
# Which images, and what is to be done with them. Docs: docs/policies.md
policies:
  - name: archive-bank
    description: Every image of the bank goes to the archive of its region
    match:
      cloud: huawei
      name: "bank-*"
    actions:
      - export: {{bucket: "bank-{{region}}", format: qcow2, prefix: bank}}

  - name: books-elsewhere
    description: The books could be kept in a project of their own, and in another region's main project
    match:
      cloud: huawei
      os: linux
      name: "*-books"
    actions:
      - copy: {{regions: [{_SHANGHAI}], agency: {AGENCY}, project: {_STANDBY}}}
      - copy: {{regions: [{_GUANGZHOU}], agency: {AGENCY}}}
"""

_HUAWEI: Final = Scene(
    cloud="huawei",
    options=HuaweiOptions(
        regions=(_BEIJING, _SHANGHAI, _GUANGZHOU),
        projects={_STANDBY: "b0000000000000000000000000000001"},
        buckets={f"bank-{_BEIJING}": _BEIJING},
        agencies={AGENCY: (_BEIJING, _SHANGHAI)},
        exports_running=3,
        copies_running=3,
        export_seconds=2.0,  # over before a doubt is looked into: nothing shows a job that runs, only its object
        copy_seconds=4.0,
        duration_spread=0.3,
    ),
    regions=(_BEIJING, _SHANGHAI, _GUANGZHOU),
    running=3,
    parts=(
        Part(NewImage(region=_BEIJING, image_id="ba000000-0000-4000-8000-000000000001", name="bank-web"), _WHOLE),
        Part(NewImage(region=_BEIJING, image_id="ba000000-0000-4000-8000-000000000002", name="bank-db"), _WHOLE),
        Part(
            NewImage(region=_BEIJING, image_id="ba000000-0000-4000-8000-000000000003", name="bank-books"),
            {"export": "succeeded", f"copy {_SHANGHAI}": "succeeded", f"copy {_GUANGZHOU}": "failed"},
        ),
        Part(
            NewImage(
                region=_BEIJING,
                image_id="ba000000-0000-4000-8000-000000000004",
                name="bank-restored",
                extra={"backup_id": "bb000000-0000-4000-8000-000000000001"},
            ),
            _NEVER,
        ),
    ),
    faults=(
        Misbehaviour(
            fault="drop",
            action="ExportImage",
            image_id="ba000000-0000-4000-8000-000000000002",
            work="done",
            count=1,
        ),
    ),
    policies=_HUAWEI_POLICIES,
    stranger="ba000000-0000-4000-8000-000000000009",
    newcomer=NewImage(region=_BEIJING, image_id="ba000000-0000-4000-8000-000000000005", name="bank-mine"),
    mend={"agencies": {AGENCY: []}},
    mended=("ba000000-0000-4000-8000-000000000003", f"copy {_GUANGZHOU}"),
)

_NORTH: Final = "cn-north-1"
_EAST: Final = "cn-east-1"
_SOUTH: Final = "cn-south-1"

_JDCLOUD_POLICIES: Final = f"""\
# Which images, and what is to be done with them. Docs: docs/policies.md
policies:
  - name: archive-shop
    description: Every image of the shop goes to the archive of its region
    match:
      cloud: jdcloud
      name: "shop-*"
    actions:
      - export: {{bucket: "archive-{{region}}", role: {ROLE}, prefix: shop}}

  - name: orders-elsewhere
    description: The orders could be taken in two other regions
    match:
      cloud: jdcloud
      os: linux
      name: "*-orders"
    actions:
      - copy: {{regions: [{_EAST}, {_SOUTH}]}}
"""

_JDCLOUD: Final = Scene(
    cloud="jdcloud",
    options=JdcloudOptions(
        regions=(_NORTH, _EAST, _SOUTH),
        buckets={f"archive-{_NORTH}": _NORTH},
        image_quota=50,
        snapshot_quota=50,
        exports_running=3,
        copies_running=3,
        export_seconds=4.0,
        copy_seconds=4.0,
        duration_spread=0.3,
        refused_destinations={_EAST: "ARGUMENT_NOT_SUPPORT"},
    ),
    regions=(_NORTH, _EAST, _SOUTH),
    running=3,
    parts=(
        Part(NewImage(region=_NORTH, image_id="img-shopweb001", name="shop-web"), _WHOLE),
        Part(NewImage(region=_NORTH, image_id="img-shopdb0001", name="shop-db", data_disks_gib=(50,)), _WHOLE),
        Part(
            NewImage(region=_NORTH, image_id="img-shoporders", name="shop-orders"),
            {"export": "succeeded", f"copy {_SOUTH}": "succeeded", f"copy {_EAST}": "failed"},
        ),
        Part(
            NewImage(
                region=_NORTH,
                image_id="img-shoptill01",
                name="shop-till",
                platform="Windows",
                os_name="Windows Server 2022 Datacenter 64bit",
            ),
            _NEVER,
        ),
    ),
    faults=(Misbehaviour(fault="drop", action="exportImage", image_id="img-shopdb0001", work="done", count=1),),
    policies=_JDCLOUD_POLICIES,
    stranger="img-shopgone01",
    newcomer=NewImage(region=_NORTH, image_id="img-shopmine01", name="shop-mine"),
    mend={"refused_destinations": {}},
    mended=("img-shoporders", f"copy {_EAST}"),
)

SCENES: Final[Mapping[str, Scene]] = {
    "tencent": _TENCENT,
    "aliyun": _ALIYUN,
    "huawei": _HUAWEI,
    "jdcloud": _JDCLOUD,
}
"""Cloud -> its scene; there is one for every rehearsal cloud."""
