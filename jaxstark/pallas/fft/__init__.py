"""The circle FFT of column batches on the GPU."""
