from experiments.unets.tables import pace_table


def variants(tmp_path, **histories):
    """Records of each variant, one a history: a list of (images, validation IoU, seconds), an epoch a line."""
    found = {}
    for name, seeds in histories.items():
        for seed, epochs in enumerate(seeds):
            (tmp_path / name / str(seed)).mkdir(parents=True)
            lines = ["images,val_iou,seconds", *[",".join(map(str, epoch)) for epoch in epochs]]
            (tmp_path / name / str(seed) / "history.csv").write_text("\n".join(lines))
            found.setdefault(name, []).append({"folder": f"{name}/{seed}"})
    return found


def test_images_and_minutes_until_the_mark(tmp_path):
    fast, slow = [(10, 0.7, 60), (20, 0.8, 30), (30, 0.9, 30)], [(10, 0.5, 60), (20, 0.7, 60), (30, 0.81, 90)]
    never = [(10, 0.799, 60), (20, "", 60)]
    table = pace_table(variants(tmp_path, a=[fast, slow], b=[fast, never], c=[never]), tmp_path)
    assert "0.80" in table
    assert "| `a` | 2 of 2 | 25 ± 5 | 2.5 ± 1.0 |" in table
    assert "| `b` | 1 of 2 | 20 | 1.5 |" in table
    assert "| `c` | 0 of 1 | – | – |" in table


def test_there_is_no_table_where_nothing_got_there(tmp_path):
    assert pace_table(variants(tmp_path, a=[[(10, 0.7, 60)]]), tmp_path) == ""
    assert pace_table({"b": [{"folder": "without/history"}]}, tmp_path) == ""
