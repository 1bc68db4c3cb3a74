# Builds and installs klp-diff and the programs that take the place of kpatch's.
#
#   make                                  builds
#   make install PREFIX=/usr DESTDIR=...  installs; builds first what is not built
#   make uninstall PREFIX=/usr
#   make deb | make rpm | make static     packages in target/package, and binaries without shared libraries
#   make sbom                             target/package/klp-diff.cdx.json: what the programs are made of
#
# Where kpatch is installed with the same PREFIX, its programs are kept as NAME.kpatch and come back with
# `make uninstall`. Packages leave them alone and use alternatives instead: docs/install.md.

PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
# kpatch-build looks for its programs in ../libexec/kpatch, seen from its own folder.
LIBEXECDIR ?= $(PREFIX)/libexec/kpatch
# What kpatch-build has the compiler look for headers in.
PATCHDIR ?= $(PREFIX)/share/kpatch/patch
MANDIR ?= $(PREFIX)/share/man
BASHDIR ?= $(PREFIX)/share/bash-completion/completions
ZSHDIR ?= $(PREFIX)/share/zsh/site-functions
FISHDIR ?= $(PREFIX)/share/fish/vendor_completions.d
DOCDIR ?= $(PREFIX)/share/doc/klp-diff
# The wrapper that stands in for objtool in the kernel's klp-build: docs/klp-build.md.
KLPBUILDDIR ?= $(PREFIX)/share/klp-diff/klp-build
DESTDIR ?=

CARGO ?= cargo
INSTALL ?= install
# release, or dev for a build in seconds that runs at a third of the speed.
PROFILE ?= release
# Options of cargo, such as --locked or --offline.
CARGOFLAGS ?= --locked
# What is built; the tests ask for what they have built already.
TARGETS ?= --bins
# Debug information stays out of what is installed: STRIP=no keeps it.
STRIP ?= yes
# Manual pages are compressed: GZIP=no leaves them as they are.
GZIP ?= yes

TARGET := $(or $(CARGO_TARGET_DIR),target)
BUILT := $(TARGET)/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))
PAGES ?= $(TARGET)/pages
HELPERS := create-diff-object create-klp-module
HEADERS := kpatch-macros.h kpatch-syscall.h
stripped := $(if $(filter yes,$(STRIP)),-s)

all: build pages

build:
	$(CARGO) build $(CARGOFLAGS) --profile $(PROFILE) --workspace $(TARGETS)

pages: build
	rm -rf $(PAGES)
	$(BUILT)/klp-diff-pages $(PAGES)
ifeq ($(GZIP),yes)
	gzip -9n $(PAGES)/man1/*.1
endif

# Where there is no cargo, as for root with a toolchain of the user's, what was built is installed.
install: $(if $(shell command -v $(CARGO)),all)
	$(INSTALL) -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(LIBEXECDIR) $(DESTDIR)$(PATCHDIR) $(DESTDIR)$(MANDIR)/man1 \
	  $(DESTDIR)$(BASHDIR) $(DESTDIR)$(ZSHDIR) $(DESTDIR)$(FISHDIR) $(DESTDIR)$(DOCDIR)/docs $(DESTDIR)$(KLPBUILDDIR)
	$(INSTALL) $(stripped) -m 755 $(BUILT)/klp-diff $(DESTDIR)$(BINDIR)/klp-diff
	set -e; for name in $(HELPERS); do \
	  $(call keep,$(LIBEXECDIR)/$$name,755); \
	  $(INSTALL) $(stripped) -m 755 $(BUILT)/$$name $(DESTDIR)$(LIBEXECDIR)/$$name; \
	done
	set -e; for name in $(HEADERS); do \
	  $(call keep,$(PATCHDIR)/$$name,644); \
	  $(INSTALL) -m 644 include/$$name $(DESTDIR)$(PATCHDIR)/$$name; \
	done
	$(INSTALL) -m 644 $(PAGES)/man1/* $(DESTDIR)$(MANDIR)/man1/
	$(INSTALL) -m 644 $(PAGES)/bash/klp-diff $(DESTDIR)$(BASHDIR)/klp-diff
	$(INSTALL) -m 644 $(PAGES)/zsh/_klp-diff $(DESTDIR)$(ZSHDIR)/_klp-diff
	$(INSTALL) -m 644 $(PAGES)/fish/klp-diff.fish $(DESTDIR)$(FISHDIR)/klp-diff.fish
	$(INSTALL) -m 755 packaging/klp-build/objtool $(DESTDIR)$(KLPBUILDDIR)/objtool
	$(INSTALL) -m 644 README.md CHANGELOG.md LICENSE-MIT LICENSE-APACHE $(DESTDIR)$(DOCDIR)/
	$(INSTALL) -m 644 docs/*.md docs/*.json $(DESTDIR)$(DOCDIR)/docs/

# A file that is there and not ours is kept beside ours. Ours says so where its text can be looked for.
keep = old='$(DESTDIR)'$(1); \
  if [ -f "$$old" ] && [ ! -e "$$old.kpatch" ] && ! grep -qi 'klp.diff' "$$old"; then \
    $(INSTALL) -m $(2) "$$old" "$$old.kpatch"; echo "kept $$old as $$old.kpatch"; \
  fi

uninstall:
	rm -f $(DESTDIR)$(BINDIR)/klp-diff $(DESTDIR)$(BASHDIR)/klp-diff $(DESTDIR)$(ZSHDIR)/_klp-diff \
	  $(DESTDIR)$(FISHDIR)/klp-diff.fish
	rm -f $(DESTDIR)$(MANDIR)/man1/klp-diff.1* $(DESTDIR)$(MANDIR)/man1/klp-diff-*.1* \
	  $(foreach name,$(HELPERS),$(DESTDIR)$(MANDIR)/man1/$(name).1*)
	rm -rf $(DESTDIR)$(DOCDIR) $(DESTDIR)$(KLPBUILDDIR)
	set -e; for file in $(HELPERS:%=$(LIBEXECDIR)/%) $(HEADERS:%=$(PATCHDIR)/%); do \
	  rm -f "$(DESTDIR)$$file"; \
	  if [ -e "$(DESTDIR)$$file.kpatch" ]; then mv "$(DESTDIR)$$file.kpatch" "$(DESTDIR)$$file"; fi; \
	done
	rmdir $(DESTDIR)$(LIBEXECDIR) $(DESTDIR)$(PATCHDIR) $(dir $(DESTDIR)$(PATCHDIR)) \
	  $(dir $(DESTDIR)$(KLPBUILDDIR)) 2>/dev/null || true

sbom: build
	mkdir -p $(TARGET)/package
	CARGO=$(CARGO) $(BUILT)/klp-diff-sbom > $(TARGET)/package/klp-diff.cdx.json

static:
	packaging/static.sh

deb:
	packaging/deb.sh

rpm:
	packaging/rpm.sh

clean:
	$(CARGO) clean

.PHONY: all build pages install uninstall sbom static deb rpm clean
