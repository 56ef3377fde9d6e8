"""The parts of the page in HTML."""

from adapt.demo import html


def test_heat_map_has_a_cell_a_layer():
    found = html.heat_map("adapt", {"text": [0, 2, 3], "image": [1, 1]})
    assert found.count("<td") == 5 and "7 in all" in found


def test_more_tokens_are_a_stronger_colour():
    found = html.heat_map("adapt", {"text": [0, 1, 2]})
    assert [f"--share: {share}%" in found for share in (0, 40, 80)] == [True] * 3


def test_method_without_tokens_says_so():
    assert "no learned tokens" in html.heat_map("linear_probe", {"text": [0, 0], "image": [0]})


def test_image_tower_without_layers_is_drawn_too():
    assert html.heat_map("coop", {"text": [4], "image": []}).count("<td") == 1


def test_pocket_number_is_marked_as_one():
    assert html.POCKET_NOTE in html.header("adapt on digits", [], pocket=True)


def test_paper_number_is_not_marked():
    assert html.POCKET_NOTE not in html.header("adapt on dtd", [], pocket=False)


def test_names_are_text_not_markup():
    found = html.bars("<b>", "<i>", {"<script>": 0.5}) + html.header("<u>", ["<s>"], pocket=False)
    assert not [tag for tag in ("<b>", "<i>", "<script>", "<u>", "<s>") if tag in found]
