"""Outbox rows for tests of publishers."""

from __future__ import annotations

import json

from imageferry.ports import OutboxRow


def row(seq: int, image: str = "img-1", **data: object) -> OutboxRow:
    event = {
        "specversion": "1.0",
        "id": f"job{seq}-1",
        "source": "/imageferry/tencent/prod/ap-guangzhou",
        "type": "io.imageferry.job.succeeded",
        "subject": image,
        "data": {"id": f"job{seq}", "state": "succeeded", "image_id": image, "image_name": "生产", **data},
    }
    return OutboxRow(seq, image, f"job{seq}-1", json.dumps(event, ensure_ascii=False))
