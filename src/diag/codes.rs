//! Every kind of finding there is, in one table.
//!
//! A row is `Variant "stable-name" severities "summary"`; docs/codes.md, which
//! `klp-diff explain-error` prints from, has a section for each.

use std::fmt;

use super::Severity::{self, Error, Refusal, Warning};

macro_rules! codes {
    ($($variant:ident $name:literal [$($severity:ident),+] $summary:literal;)+) => {
        /// The kind of a finding. Its name is stable: machines may rely on it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code {
            $(#[doc = $summary] $variant,)+
        }

        impl Code {
            /// All of them, by name.
            pub const ALL: &[Code] = &[$(Code::$variant),+];

            fn row(self) -> (&'static str, &'static [Severity], &'static str) {
                match self {
                    $(Code::$variant => ($name, &[$($severity),+], $summary),)+
                }
            }
        }
    };
}

codes! {
    AbsoluteSymbolChanged "absolute-symbol-changed" [Refusal]
        "An absolute symbol has another value.";
    AfterObjtool "after-objtool" [Refusal]
        "objtool has already seen an object, and the kernel's build would run it on the module again.";
    AliasMoved "alias-moved" [Refusal]
        "A name stands for another function or variable than before.";
    AlreadyThere "already-there" [Refusal]
        "An object without an original defines a function that the kernel has.";
    AmbiguousObject "ambiguous-object" [Refusal]
        "It is unclear which object of the other build an object is.";
    AmbiguousOwner "ambiguous-owner" [Refusal]
        "It is unclear which kernel object an object was linked into.";
    AmbiguousReference "ambiguous-reference" [Error]
        "A row of a table can mean two strings, by two readings of its relative reference.";
    AmbiguousSymbol "ambiguous-symbol" [Refusal]
        "It is unclear which symbol of the other side a symbol is.";
    BadEnvironment "bad-environment" [Error]
        "A variable of the environment has a value that is no size.";
    BadKpatchTable "bad-kpatch-table" [Error]
        "A kpatch table of the input cannot be read.";
    BadPair "bad-pair" [Error]
        "A folder is given together with a file.";
    BadPatch "bad-patch" [Error]
        "A file is no patch, or a part of one.";
    BadPath "bad-path" [Error]
        "A path cannot be used with the kernel's build.";
    BadStringReference "bad-string-reference" [Error]
        "A reference leaves its string section.";
    BadStructSize "bad-struct-size" [Error]
        "The size given for a kernel struct is no number, or none that the struct can have.";
    Bitcode "bitcode" [Error, Refusal]
        "Files that differ hold LLVM bitcode, or would.";
    BootOnly "boot-only" [Warning, Refusal]
        "Code or data changed that only runs or counts at boot (in a module: when it is loaded).";
    BootOnlyReference "boot-only-reference" [Refusal]
        "Live code or data refers to memory that is freed after boot.";
    BuildFailed "build-failed" [Error]
        "The kernel's own build failed.";
    BundleMismatch "bundle-mismatch" [Error]
        "A static local has a section of its own on one side only.";
    Bytecode "bytecode" [Error]
        "The object holds gcc's intermediate code and no other.";
    Case "case" [Error]
        "A case of a corpus, or the record of a built one, cannot be read.";
    ChildWithoutParent "child-without-parent" [Error]
        "A split-off part (`.cold`, `.part`) has no function that it was split from.";
    Compile "compile" [Error]
        "A source of a corpus case does not compile.";
    CompilerDiffers "compiler-differs" [Error, Refusal]
        "The compiler that built the kernel is not installed, or another one is given.";
    ConfigDiffers "config-differs" [Refusal]
        "The configuration is not that of the kernel that modules are built for.";
    ConstantInLiveData "constant-in-live-data" [Refusal]
        "Pointers in data of the running kernel lead to a constant that changed.";
    ConstantUsedElsewhere "constant-used-elsewhere" [Warning]
        "A constant changed that also functions outside of the patch use.";
    Contradiction "contradiction" [Error]
        "Two descriptions of the kernel say different things.";
    Corpus "corpus" [Error]
        "A corpus has no cases, or two of one name.";
    DanglingReference "dangling-reference" [Error]
        "The output would refer to something that it does not hold.";
    DefinitionReplaced "definition-replaced" [Warning]
        "Another object has the definition of a function now.";
    DuplicateDefinition "duplicate-definition" [Refusal]
        "Two objects define one global name.";
    DuplicateExport "duplicate-export" [Error]
        "Module.symvers lists a name more than once.";
    DuplicateSymbol "duplicate-symbol" [Error]
        "The kernel has several symbols of a name, and it is unknown which one is meant.";
    ElfHeadersDiffer "elf-headers-differ" [Refusal]
        "The objects have different ELF headers.";
    EmptyObject "empty-object" [Error]
        "An object is empty on one side.";
    ExportChanged "export-changed" [Warning]
        "The kernel's record of an exported symbol changed.";
    FileBlock "file-block" [Error]
        "The object's local symbols cannot be found in the kernel's symbol table, or in several places.";
    FinishedLivepatch "finished-livepatch" [Error]
        "The object is a finished livepatch.";
    FixupTable "fixup-table" [Error]
        "Fixup code cannot be told apart by function.";
    FoldedFunction "folded-function" [Refusal]
        "The linker folded a function with others.";
    FtraceSite "ftrace-site" [Error]
        "The place where ftrace redirects a function cannot be found.";
    IgnoreFunction "ignore-function" [Error]
        "A KPATCH_IGNORE_FUNCTION names no function of this object.";
    IgnoreSection "ignore-section" [Error]
        "A KPATCH_IGNORE_SECTION does not hold a name.";
    IgnoreSectionMissing "ignore-section-missing" [Error]
        "A KPATCH_IGNORE_SECTION names a section that is not there.";
    IgnoredRows "ignored-rows" [Warning]
        "Rows of a table that nothing in the patch uses changed.";
    InconsistentOutput "inconsistent-output" [Error]
        "The output would be no valid ELF file.";
    InlinedEverywhere "inlined-everywhere" [Warning]
        "A function is inlined in all of its callers now.";
    InputChanged "input-changed" [Error]
        "An input changed while it was read.";
    Instrumented "instrumented" [Refusal]
        "An object was built to collect a profile.";
    Interrupted "interrupted" [Error]
        "The run was interrupted.";
    Json "json" [Error]
        "The report cannot be written as JSON.";
    KernelTree "kernel-tree" [Error]
        "The kernel tree cannot be read.";
    KeyInModule "key-in-module" [Error]
        "Changed code uses a static key or static call that a module owns.";
    KlpRelocInTable "klp-reloc-in-table" [Error]
        "A table refers to a symbol that only livepatch can resolve.";
    KpatchTable "kpatch-table" [Error]
        "A kpatch table of the output cannot be described.";
    LabelContent "label-content" [Refusal]
        "It cannot be told what a label without a size leads to.";
    LinkOrder "link-order" [Warning, Error]
        "The order of linked sections changed, or leads to a section that is not in the patch.";
    LinkedFile "linked-file" [Error]
        "A file is linked, or no object at all.";
    LiveStateInitialiser "live-state-initialiser" [Warning, Refusal]
        "Only the initial value of live state changed.";
    LostRelocation "lost-relocation" [Error]
        "A relocation that livepatch is to apply is not in the linked module as it should be.";
    MalformedBtf "malformed-btf" [Error]
        "The kernel's type information (BTF) cannot be read.";
    MalformedDwarf "malformed-dwarf" [Error]
        "The kernel's debug information cannot be read.";
    MalformedElf "malformed-elf" [Error]
        "A file is no well-formed ELF file.";
    MalformedSeals "malformed-seals" [Error]
        "The image's list of sealed entries cannot be read.";
    Merge "merge" [Error]
        "Results of a corpus cannot be merged.";
    MixedObjtool "mixed-objtool" [Refusal]
        "objtool has seen one of the two objects.";
    ModuleSymvers "module-symvers" [Error]
        "Module.symvers has no valid form.";
    NameComparison "name-comparison" [Refusal]
        "It is unknown by which name the kernel finds a symbol.";
    NearReference "near-reference" [Refusal]
        "Code outside of a function leads into it without a relocation.";
    NeverReturns "never-returns" [Warning]
        "Tasks never leave a function that changed.";
    NewObject "new-object" [Warning, Refusal]
        "An object has no original.";
    NoConfig "no-config" [Error]
        "The kernel's configuration is not at hand, or says too little.";
    NoContents "no-contents" [Error]
        "A table, code or strings have a size, but no contents (SHT_NOBITS).";
    NoEffect "no-effect" [Error]
        "An option has no effect in this run.";
    NoFtraceEntry "no-ftrace-entry" [Warning, Refusal]
        "A changed function cannot be redirected.";
    NoImage "no-image" [Error]
        "The linked kernel or a module, as it runs, is not at hand.";
    NoKernel "no-kernel" [Error]
        "Nothing of the kernel that was asked for is installed.";
    NoLivepatch "no-livepatch" [Refusal]
        "The kernel is built without livepatching.";
    NoObjects "no-objects" [Error]
        "A folder holds no relocatable objects.";
    NoOwner "no-owner" [Refusal]
        "None of the images has the functions of an object.";
    NoParent "no-parent" [Error]
        "The symbols of the patched module or kernel are not known.";
    NoSource "no-source" [Error]
        "The folder given holds no kernel source.";
    NoSuchObject "no-such-object" [Error]
        "An option names an object that is not among those given.";
    NoTool "no-tool" [Error]
        "A program that is needed cannot be run.";
    NotCompared "not-compared" [Warning]
        "A file was not compared.";
    NotExported "not-exported" [Refusal]
        "A patch of a module refers to a symbol that vmlinux does not export.";
    NotTheKernel "not-the-kernel" [Refusal]
        "What was compiled from the unpatched source is not the kernel that runs.";
    NothingChanged "nothing-changed" [Refusal]
        "Nothing changed, although `--expect-change` was given.";
    NothingInCommon "nothing-in-common" [Error]
        "The two folders have no object in common.";
    ObjectSizeMismatch "object-size-mismatch" [Refusal]
        "A variable of the running kernel has another size.";
    ObjtoolWarning "objtool-warning" [Refusal]
        "objtool warned about functions of the module.";
    OrcSize "orc-size" [Error]
        "The unwind table does not hold whole rows.";
    OriginalDiffers "original-differs" [Warning, Refusal]
        "The original object is not what runs.";
    OtherMachine "other-machine" [Error]
        "The image is for another machine than the objects.";
    OtherRelease "other-release" [Error]
        "The files given are of different kernels.";
    OtherTool "other-tool" [Error]
        "The other tool of a comparison cannot be used.";
    OutOfRange "out-of-range" [Error]
        "A relocation leads out of its target.";
    OutputSection "output-section" [Refusal]
        "An input has a section of the output's own tables.";
    OverriddenDefinition "overridden-definition" [Refusal]
        "A function changed that is not, or may not be, the one that runs.";
    ParentSymtab "parent-symtab" [Error]
        "The kernel's symbol table cannot be read.";
    PartLeftBehind "part-left-behind" [Warning]
        "A function's split-off part is not in the patch.";
    PatchMismatch "patch-mismatch" [Refusal]
        "A patch does not fit the source.";
    PatchScope "patch-scope" [Refusal]
        "A patch has what no livepatch can bring about.";
    PrefixWithoutFunction "prefix-without-function" [Error]
        "A prefix symbol stands before no function.";
    ProgramHeader "program-header" [Refusal]
        "An input has program headers.";
    RemovedObject "removed-object" [Warning]
        "An object is gone from the patched build.";
    Results "results" [Error]
        "A file holds no results of a corpus run.";
    RowLayout "row-layout" [Error]
        "The layout of a table's rows cannot be told.";
    RowOfOtherCode "row-of-other-code" [Refusal]
        "The patch refers to a row of a table that describes other code.";
    SameFile "same-file" [Error]
        "Two outputs, or an output and an input, are the same file.";
    SealedTarget "sealed-target" [Refusal]
        "A function whose address the patch takes faults when it is called through a pointer.";
    SectionAnchors "section-anchors" [Refusal]
        "Code reaches variables by their distance from others, and these moved or changed.";
    SectionHeaderDiffers "section-header-differs" [Refusal]
        "A section has another type, flag, entry size or alignment.";
    SectionTooLarge "section-too-large" [Error]
        "A section has 4 GiB or more.";
    SectionsNotCorrelated "sections-not-correlated" [Error]
        "A static local's sections are not each other's.";
    SharedUnwindRow "shared-unwind-row" [Refusal]
        "The unwind row of a function begins in code that is not in the patch.";
    ShortRelocation "short-relocation" [Refusal]
        "A relocation does not reach from a module to the kernel.";
    SiblingCall "sibling-call" [Error, Refusal]
        "A function of the patch leaves through a jump.";
    SourceDiffers "source-differs" [Refusal]
        "The source is of another release than the kernel that runs.";
    StaticLocalReferenceMissing "static-local-reference-missing" [Refusal]
        "A function lost its reference to a static local.";
    StaticLocalRemoved "static-local-removed" [Refusal, Warning]
        "A use of a static local was removed.";
    StaticLocalUncorrelated "static-local-uncorrelated" [Warning]
        "A static local has no counterpart and is taken for a new one.";
    StructSizeMissing "struct-size-missing" [Error]
        "The size of a struct is needed and cannot be found.";
    SymbolChangedSections "symbol-changed-sections" [Refusal]
        "A variable moved to a section of another meaning.";
    SymbolInfoMismatch "symbol-info-mismatch" [Refusal]
        "A symbol has another type or binding.";
    SymbolNotFound "symbol-not-found" [Error]
        "The kernel has no such symbol.";
    Symbols "symbols" [Error]
        "A symbol's name cannot be put into a symbol table.";
    ThreadLocal "thread-local" [Refusal]
        "The object has thread-local data.";
    Threads "threads" [Error]
        "No thread can be started.";
    TocEntryMissing "toc-entry-missing" [Error]
        "A TOC reference has no entry.";
    TooManyNames "too-many-names" [Error]
        "The names of the output take 4 GiB.";
    Undecodable "undecodable" [Error]
        "Code cannot be decoded at a place that a relocation lies in.";
    UnexpectedRow "unexpected-row" [Error]
        "A row of a table has no known form.";
    UnexpectedSymbolOffset "unexpected-symbol-offset" [Error]
        "A symbol does not start its section as its name says.";
    UnexplainedChange "unexplained-change" [Refusal]
        "Something changed, and it is not known what it means to the kernel.";
    UnknownCallback "unknown-callback" [Refusal]
        "A callback of the patch would not be called.";
    UnknownIncluders "unknown-includers" [Refusal]
        "It is not known which objects include a header.";
    UnknownObject "unknown-object" [Error]
        "It is not said which kernel object is patched.";
    UnknownRelocation "unknown-relocation" [Error]
        "A relocation type is not known for this machine.";
    Unlinkable "unlinkable" [Error]
        "Objects cannot be linked into one.";
    UnlistedSymbol "unlisted-symbol" [Refusal]
        "livepatch cannot find a symbol that the patch needs.";
    UnprovedOutput "unproved-output" [Error]
        "The output does not mean what the patched object says.";
    Unreadable "unreadable" [Error]
        "A file or folder cannot be read.";
    UnresolvedSymbol "unresolved-symbol" [Refusal]
        "The patch refers to something that neither it nor the kernel has.";
    UnsupportedMachine "unsupported-machine" [Error]
        "The object's machine is not supported.";
    UnsupportedObject "unsupported-object" [Error]
        "The object has something that cannot be copied.";
    UnsupportedSectionChange "unsupported-section-change" [Refusal]
        "Data that the running kernel has changed.";
    Unwritable "unwritable" [Error]
        "An output cannot be written.";
    Usage "usage" [Error]
        "The command line is wrong.";
    VerifyFailed "verify-failed" [Error]
        "The written file differs from what it should hold.";
    WorkBusy "work-busy" [Error]
        "Another build uses the work folder.";
    WouldFail "would-fail" [Refusal]
        "The module would not load, or not work.";
    WrongStructSize "wrong-struct-size" [Error]
        "A size that was given does not fit the rows of the table.";
}

impl Code {
    /// The code called `name`.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.name() == name)
    }

    /// Stable name, such as `no-ftrace-entry`.
    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// What findings of this kind can be.
    pub fn severities(self) -> &'static [Severity] {
        self.row().1
    }

    /// What it means, in one line.
    pub fn summary(self) -> &'static str {
        self.row().2
    }

    /// What it means, why it happens and what to do: its section of docs/codes.md.
    pub fn page(self) -> &'static str {
        let heading = format!("\n## {}\n", self.name());
        let section = PAGES.split_once(&heading).map_or("", |(_, rest)| rest);
        section.split_once("\n## ").map_or(section, |(section, _)| section).trim()
    }
}

const PAGES: &str = include_str!("../../docs/codes.md");

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_and_table_agree() {
        let documented: Vec<&str> =
            PAGES.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        let known: Vec<&str> = Code::ALL.iter().map(|code| code.name()).collect();
        assert_eq!(documented, known, "docs/codes.md has a section for each code, by name");
        assert!(known.is_sorted());
        for code in Code::ALL {
            let severities: Vec<&str> = code.severities().iter().map(|s| s.name()).collect();
            let first = format!("*{}.* {}", severities.join(" or "), code.summary());
            let page = code.page();
            assert_eq!(page.lines().next(), Some(&*first), "{code}");
            for part in ["**Why.** ", "**What to do.** "] {
                assert!(page.contains(part), "{code}: no {part}");
            }
            assert_eq!(Code::named(code.name()), Some(*code));
        }
    }
}
