"""What the course makes of the files that it fetched, made again where it is damaged."""

import torch

from course_lib import pretrained


def test_a_converted_file_cut_short_is_made_again(own_cache, llm):
    path = pretrained.converted()
    whole = path.stat().st_size
    with open(path, "r+b") as file:
        file.truncate(whole // 2)
    model, _ = pretrained.smollm2()
    assert path.stat().st_size == whole
    assert torch.equal(model.embedding.weight, llm[0].embedding.weight)


def test_a_converted_file_with_flipped_exponents_is_made_again(own_cache, llm, capsys):
    path = pretrained.converted()
    with open(path, "r+b") as file:
        for place in range(
            1_000_003, 500_000_000, 250_000
        ):  # 2,000 numbers, NaN or huge
            file.seek(place)
            file.write(b"\x7f")
    model, _ = pretrained.smollm2()
    assert "is damaged: it is made again." in capsys.readouterr().out
    assert torch.equal(model.embedding.weight, llm[0].embedding.weight)


def test_a_damaged_vocabulary_is_made_again(own_cache):
    path = pretrained.tokenizer.smollm2_vocabulary()
    good = path.read_bytes()
    path.write_bytes(good[:-40])
    assert pretrained.tokenizer.smollm2_vocabulary().read_bytes() == good
