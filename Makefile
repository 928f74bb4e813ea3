# The newcomer's door. Meson and ninja do the work; what is longer than a line is in tools/.
#   make run [CMD='...']    a shell in a VM for examples/hello; without a terminal, runs CMD there
#   make test               everything; make check: the quick loop while you work
# make turns every failure into status 2; tools/run itself ends with the status of the command.

all:
	@tools/build

run:
	@tools/run

test:
	@tools/test

check:
	@tools/check

bench: all
	@meson test -C build --benchmark --verbose

fmt:
	@tools/format --fix

install: all
	@meson install -C build

clean:
	@rm -rf build

.PHONY: all run test check bench fmt install clean
