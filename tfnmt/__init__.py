"""English-French transformer: tokenizer, data, layers, model, decoding, evaluation."""
