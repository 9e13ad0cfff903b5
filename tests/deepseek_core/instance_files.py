"""Task graphs as the files that `ds-sdk schedule` reads."""

import json


def graph_to_json(graph):
    """The file format's keys, those that hold nothing left out."""
    return {
        "name": graph.name,
        "unit": graph.unit,
        "devices": [_device(device) for device in graph.devices],
        "mem_nodes": [f"mem{number}" for number in range(len(graph.bandwidth))],
        "bandwidth": graph.bandwidth,
        "latency": graph.latency,
        "tasks": [_task(task) for task in graph.tasks],
        "edges": graph.edges,
    }


def write_instance(path, graph):
    path.write_text(json.dumps(graph_to_json(graph)))
    return path


def _device(device):
    more = {"mem_bytes": device.mem_bytes, "pool": device.pool}
    kept = {key: value for key, value in more.items() if value is not None}
    return {"id": device.id, "type": device.type, "mem": device.mem} | kept


def _task(task):
    more = {
        "name": task.name,
        "dev": dict(task.deviation),
        "mem_bytes": task.mem_bytes,
        "mem_by_type": dict(task.mem_by_type),
        "colocate": task.colocate,
        "stateful": task.stateful,
    }
    kept = {key: value for key, value in more.items() if value}
    return {"id": task.id, "cost": dict(task.cost), **kept}
