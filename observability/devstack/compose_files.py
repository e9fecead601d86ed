"""The files that servers of the compose stack read, as one stack's copies, which containers mount.

`make up` prepares them before it changes anything, and puts them in place when the new containers
of a release serve: neither a checkout nor a failed release changes a file under a container. Every
service mounts a folder, in which a container also sees a file that was replaced as a whole.
"""

import shutil
from pathlib import Path

from observability.devstack.compose_settings import files_folder
from observability.devstack.layout import ROOT, StackLayout, filled_secrets, secrets_folder
from observability.devstack.steps import StackError
from observability.generate import alertmanager, fluentbit, loki, postgres, prometheus
from observability.generate.dashboards.grafana import files as dashboards
from observability.spec.plan import Plan

SOURCES = ROOT / "observability" / "devstack" / "compose"
HAND_WRITTEN = {  # folder of a service → patterns of the files in SOURCES that it mounts
    "gateway": ("gateway/*.cfg", "gateway/*.lua", "gateway/errors/*.http"),
    "postgres": ("postgres/*.conf", "postgres/restore.sh"),
    "postgres-init": ("postgres/init.sh",),
    "postgres-replica": ("postgres/*.conf", "postgres/replica.sh"),
    "backup": ("postgres/backup.sh",),
    "valkey": ("valkey/valkey.conf",),
    "prometheus": ("prometheus.yaml",),
}
GENERATED = {  # path of a copy → generated file
    "alertmanager/alertmanager.yaml": alertmanager.CONFIG,
    "backup/summary.sql": postgres.SUMMARY,
    "fluent-bit/docker.yaml": fluentbit.DOCKER,
    "loki/loki.yaml": loki.CONFIG,
    f"loki/rules/{loki.TENANT}/rules.yaml": loki.RULES,
    "postgres-exporter/queries.yaml": postgres.QUERIES,
    "prometheus/rules.yaml": prometheus.RULES,
}
# The containers' user reads them, whoever that is; the folder above is closed to other users.
FOLDER_MODE, FILE_MODE, SCRIPT_MODE = 0o755, 0o644, 0o755


def file_texts(plan: Plan, given: frozenset[str]) -> dict[str, str]:
    """Return the text of each file by its path, which begins with the folder of a service.

    An integration of Alertmanager takes part when its secret is `given`.
    """
    texts = dashboards.render(plan)
    for service, patterns in HAND_WRITTEN.items():
        for pattern in patterns:
            for path in SOURCES.glob(pattern):
                parents = path.parent.relative_to(SOURCES).parts[1:]
                texts["/".join((service, *parents, path.name))] = path.read_text(encoding="utf-8")
    generated = alertmanager.render(plan, given)
    for generator in (fluentbit, loki, postgres, prometheus):
        generated |= generator.render(plan)
    return texts | {path: generated[name] for path, name in GENERATED.items()}


def prepare_files(layout: StackLayout, plan: Plan) -> None:
    """Write all files into a folder beside the mounted ones, and make new folders there.

    The present files are kept for `restore_files`. Raise OSError, as on a full disk.
    """
    draft, folder, former = draft_folder(layout), files_folder(layout), former_folder(layout)
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for left in (draft, former):
        if left.exists():
            shutil.rmtree(left)
    if folder.exists():
        shutil.copytree(folder, former)
    for name, text in file_texts(plan, filled_secrets(secrets_folder())).items():
        path = draft / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(SCRIPT_MODE if path.suffix == ".sh" else FILE_MODE)
    for path in (draft, *sorted(draft.rglob("*"))):
        if path.is_dir():
            mounted = folder / path.relative_to(draft)
            mounted.mkdir(exist_ok=True)
            mounted.chmod(FOLDER_MODE)


def install_files(layout: StackLayout) -> None:
    """Put the prepared files in place, each as a whole, and remove all others; raise StackError.

    The folders that containers mount stay. This needs no space: `prepare_files` has found a full
    disk.
    """
    try:
        replace_files(draft_folder(layout), files_folder(layout))
    except OSError as error:
        raise StackError(
            f"{error.filename}: {error.strerror}; servers may start with files of the earlier"
            " release; fix: correct the cause, then make up"
        ) from error


def restore_files(layout: StackLayout, service: str) -> None:
    """Put the files of a service back that were in place when the new ones were prepared."""
    former = former_folder(layout) / service
    if former.exists():
        replace_files(former, files_folder(layout) / service)


def replace_files(source: Path, target: Path) -> None:
    """Move all files to another folder, each as a whole, and remove all others there."""
    moved = sorted(path.relative_to(source) for path in source.rglob("*"))
    for path in sorted(target.rglob("*"), reverse=True):  # files before their folder
        if path.relative_to(target) in moved:
            continue
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink()
    for name in moved:
        if (source / name).is_dir():
            (target / name).mkdir(exist_ok=True)
        else:
            (source / name).replace(target / name)
    shutil.rmtree(source)


def draft_folder(layout: StackLayout) -> Path:
    """Return the folder of the files that are not mounted yet."""
    return files_folder(layout).with_name("files.new")


def former_folder(layout: StackLayout) -> Path:
    """Return the folder of the files that were mounted before."""
    return files_folder(layout).with_name("files.old")
