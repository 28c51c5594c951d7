"""`python -m boards`: write the dashboards' JSON."""

from boards.files import FOLDER, render_all

for name, text in render_all().items():
    (FOLDER / name).write_text(text)
    print(f"observe/grafana-provisioning/dashboards/{name}")
