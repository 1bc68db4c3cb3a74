# Prints what the Makefile of a folder of a kernel source builds.
src := $(obj)
srcroot := .
obj-y :=
obj-m :=
lib-y :=
lib-m :=
include include/config/auto.conf
include scripts/Kbuild.include
-include scripts/Makefile.compiler
include $(firstword $(wildcard $(obj)/Kbuild $(obj)/Makefile))

klp-parts = $(strip $($(1:.o=-objs)) $($(1:.o=-y)) $(2))
$(foreach l,obj-y obj-m lib-y lib-m,$(info KLP-LIST $(obj) $(l) $($(l))))
$(foreach o,$(filter %.o,$(obj-y) $(lib-y)),\
  $(if $(call klp-parts,$(o)),$(info KLP-PARTS $(obj) $(o) $(call klp-parts,$(o)))))
$(foreach o,$(filter %.o,$(obj-m) $(lib-m)),\
  $(if $(call klp-parts,$(o),$($(o:.o=-m))),$(info KLP-PARTS $(obj) $(o) $(call klp-parts,$(o),$($(o:.o=-m))))))

.PHONY: klp-print
klp-print: ;@:
