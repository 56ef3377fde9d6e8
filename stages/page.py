"""Write .dvc/plots/page.html, the frame of `dvc plots show` (`make page`).

It contains Vega, so that the plots work offline. This is not a stage of dvc.yaml: the page is kept in git and changes
only with the version of Vega-Lite.
"""

from pathlib import Path

import vl_convert

FOLDER = Path(".dvc/plots")
VEGA_LITE = "5.20"
# DVC fills {refresh_tag} and {plot_divs}. Without its {scripts}, the page has no links to a content delivery network.
# DVC gives each plot a border and centres it with inline styles, which only !important overrides.
FRAME = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
{refresh_tag}
<title>ADAPT: plots</title>
<style>
body { font-family: sans-serif; max-width: 1240px; margin: 2rem auto; padding: 0 1rem; color: #222222; }
body > div { border: 0 !important; text-align: left !important; white-space: normal !important; }
body > div { margin-bottom: 2.5rem; }
body > div > div { border: 0 !important; margin: 0 !important; }
p { color: #555555; margin: 0.3rem 0; }
img { max-width: 100%; height: auto; }
</style>
<!--
LICENCES-->
<script>(function () {
BUNDLE
})();</script>
</head>
<body>
<h1>ADAPT</h1>
<p>Interactive plots of reports/plots, then the figures of reports/figures. Each says with what it was made.</p>
{plot_divs}
</body>
</html>
"""


def main() -> None:
    bundle = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=VEGA_LITE)
    page = FRAME.replace("LICENCES", (FOLDER / "licences.txt").read_text(encoding="utf-8")).replace("BUNDLE", bundle)
    (FOLDER / "page.html").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
