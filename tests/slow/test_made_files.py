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


def test_a_damaged_vocabulary_is_made_again(own_cache):
    path = pretrained.tokenizer.smollm2_vocabulary()
    good = path.read_bytes()
    path.write_bytes(good[:-40])
    assert pretrained.tokenizer.smollm2_vocabulary().read_bytes() == good
