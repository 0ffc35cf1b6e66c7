"""Functions made for this processor: vectors in LLVM's language, how they are compiled, and run on several threads."""
