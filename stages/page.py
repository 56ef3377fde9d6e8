"""Rebuild the frame of `dvc plots show` with Vega inside, so that the page opens without a network: `make page`."""

from pathlib import Path

import vl_convert

FRAME = """<!DOCTYPE html>
<html>
<head>
{{refresh_tag}}
<meta charset="utf-8">
<title>ADAPT</title>
<script>(function () {{{bundle}}})();</script>
</head>
<body>
{{plot_divs}}
</body>
</html>
"""


def main() -> None:
    # the Vega-Lite 5 of DVC's templates; leaving out {scripts} keeps DVC from adding its links to a CDN
    bundle = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version="5.20")
    Path(".dvc/plots/page.html").write_text(FRAME.format(bundle=bundle), encoding="utf-8")


if __name__ == "__main__":
    main()
