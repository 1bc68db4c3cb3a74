# Read behind the top Makefile of a kernel source, for all that it sets.
.PHONY: klp-ask
klp-ask:
	$(info KLP-ROOTS $(init-y) $(core-y) $(drivers-y) $(libs-y) $(libs-m) $(net-y) $(virt-y))
	@for f in $(KLP_FOLDERS); do \
		test ! -f $$f/Kbuild && test ! -f $$f/Makefile || \
			$(MAKE) -s -f $(KLP_QUERY) obj=$$f klp-print || exit 1; \
	done
