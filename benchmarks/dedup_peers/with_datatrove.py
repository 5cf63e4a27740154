"""The same steps through datatrove's pipeline: python with_datatrove.py DOCUMENTS OUT WORK.

Its four steps of MinHash, two processes at a time, words cut at spaces instead of by a language's own tokenizer, and of
its normalisation what the others do too.
"""

import sys

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.pipeline.readers import ParquetReader
from datatrove.pipeline.writers import ParquetWriter
from datatrove.utils.text import TextNormConfig
from datatrove.utils.word_tokenizers import WordTokenizer

FILES, BANDS, ROWS, NGRAM = 4, 16, 8, 5
READ_AT_ONCE = 1000  # signatures; faster than its own 5


class Spaces(WordTokenizer):
    def word_tokenize(self, text: str) -> list[str]:
        return text.split()

    def sent_tokenize(self, text: str) -> list[str]:
        return [text]

    def span_tokenize(self, text: str) -> list[tuple[int, int]]:
        return [(0, len(text))]


def main(documents: str, out: str, work: str) -> None:
    config = MinhashConfig(
        n_grams=NGRAM,
        num_buckets=BANDS,
        hashes_per_bucket=ROWS,
        norm_config=TextNormConfig(norm_unicode_diacritics=False, norm_numbers=False),
    )
    signatures, buckets, removed = f"{work}/signatures", f"{work}/buckets", f"{work}/removed"
    steps = [
        (FILES, [ParquetReader(documents), MinhashDedupSignature(signatures, config, Spaces())]),
        (BANDS, [MinhashDedupBuckets(signatures, buckets, config=config, lines_to_buffer=READ_AT_ONCE)]),
        (1, [MinhashDedupCluster(buckets, removed, config=config, lines_to_buffer=READ_AT_ONCE)]),
        (FILES, [ParquetReader(documents), MinhashDedupFilter(removed), ParquetWriter(out, compression="zstd")]),
    ]
    for number, (tasks, pipeline) in enumerate(steps):
        LocalPipelineExecutor(pipeline, tasks=tasks, workers=min(tasks, 2), logging_dir=f"{work}/logs/{number}").run()


if __name__ == "__main__":
    main(*sys.argv[1:])
