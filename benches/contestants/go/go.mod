module ringbus/contestants

go 1.22
