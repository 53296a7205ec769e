module meshgate/benchmarks

go 1.24
