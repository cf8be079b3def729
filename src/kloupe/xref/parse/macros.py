"""The kernel's macros that define things: which argument is the name, what kind it is, what further names it makes.

Sources: include/linux/syscalls.h, compat.h, tracepoint.h, export.h, percpu-defs.h, mutex.h, spinlock_types.h, jump_label.h,
moduleparam.h, init.h, linkage.h, filter.h, btf.h, seq_file.h, debugfs.h, device.h, buffer_head.h, page-flags.h of Linux.
"""

from __future__ import annotations

import re

from ...base.record import record


@record(frozen=True)
class MacroRule:
    """What a macro call at the top level defines: the kind, the number of the argument that names it, and names made of it.

    In `made`, `{0}`, `{1}` stand for the arguments. `own` false: the argument itself is not the name of the new thing.
    """

    kind: str
    argument: int = 0
    made: tuple[str, ...] = ()
    own: bool = True


def _rules(
    kind: str, names: str, argument: int = 0, made: tuple[str, ...] = (), own: bool = True
) -> list[tuple[str, MacroRule]]:
    rule = MacroRule(kind, argument, made, own)
    return [(name, rule) for name in names.split()]


# A `#` stands for digits. Looked up by the exact name; DEFINE_* and DECLARE_* that are not here name their first argument.
_SYSCALL = ("sys_{0}",)
_COMPAT = ("compat_sys_{0}",)
_ATTRIBUTES = "DEVICE_ATTR DEVICE_ATTR_RW DEVICE_ATTR_RO DEVICE_ATTR_WO DEVICE_ATTR_ADMIN_RW DEVICE_ATTR_ADMIN_RO"
TABLE: dict[str, MacroRule] = dict(
    [
        *_rules("syscall", "SYSCALL_DEFINE# SYSCALL_DEFINE_MAYBE# SYSCALL_DEFINE_ARG64", 0, _SYSCALL),
        *_rules("compat_syscall", "COMPAT_SYSCALL_DEFINE# COMPAT_SYSCALL_DEFINE_WRAP#", 0, _COMPAT),
        *_rules("syscall", "COMPAT_SYSCALL32_DEFINE# SYSCALL32_DEFINE# PPC32_SYSCALL_DEFINE#", 0, _SYSCALL),
        *_rules("export", "EXPORT_SYMBOL EXPORT_SYMBOL_GPL EXPORT_PER_CPU_SYMBOL EXPORT_PER_CPU_SYMBOL_GPL"),
        *_rules("export", "EXPORT_SYMBOL_NS EXPORT_SYMBOL_NS_GPL EXPORT_STATIC_CALL EXPORT_STATIC_CALL_GPL"),
        *_rules("export", "EXPORT_SYMBOL_FOR_MODULES EXPORT_SYMBOL_GPL_FOR_MODULES EXPORT_TRACEPOINT_SYMBOL"),
        *_rules("export", "EXPORT_TRACEPOINT_SYMBOL_GPL EXPORT_SYMBOL_FOR_KVM EXPORT_SYMBOL_FOR_TESTS_ONLY"),
        *_rules("percpu", "DEFINE_PER_CPU DEFINE_PER_CPU_ALIGNED DEFINE_PER_CPU_SHARED_ALIGNED DEFINE_PER_CPU_FIRST", 1),
        *_rules("percpu", "DEFINE_PER_CPU_PAGE_ALIGNED DEFINE_PER_CPU_READ_MOSTLY DEFINE_PER_CPU_DECRYPTED", 1),
        *_rules("percpu", "DEFINE_EARLY_PER_CPU DEFINE_EARLY_PER_CPU_READ_MOSTLY DEFINE_PER_CPU_CACHE_HOT", 1),
        *_rules("percpu", "DEFINE_PER_CPU_SECTION", 1),
        *_rules("declaration", "DECLARE_PER_CPU DECLARE_PER_CPU_ALIGNED DECLARE_PER_CPU_SHARED_ALIGNED", 1),
        *_rules("declaration", "DECLARE_PER_CPU_FIRST DECLARE_PER_CPU_PAGE_ALIGNED DECLARE_PER_CPU_READ_MOSTLY", 1),
        *_rules("declaration", "DECLARE_EARLY_PER_CPU DECLARE_EARLY_PER_CPU_READ_MOSTLY DECLARE_PER_CPU_CACHE_HOT", 1),
        *_rules("lock", "DEFINE_MUTEX DEFINE_SPINLOCK DEFINE_RAW_SPINLOCK DEFINE_RWLOCK DEFINE_SEMAPHORE DECLARE_RWSEM"),
        *_rules("lock", "DEFINE_RT_MUTEX DEFINE_WW_MUTEX DEFINE_WD_CLASS DEFINE_WW_CLASS DEFINE_SEQLOCK DEFINE_LOCAL_LOCK"),
        *_rules("lock", "DEFINE_SRCU DEFINE_STATIC_SRCU DEFINE_PERCPU_RWSEM DEFINE_STATIC_PERCPU_RWSEM DEFINE_LGLOCK"),
        *_rules("static_key", "DEFINE_STATIC_KEY_TRUE DEFINE_STATIC_KEY_FALSE DEFINE_STATIC_KEY_TRUE_RO"),
        *_rules("static_key", "DEFINE_STATIC_KEY_FALSE_RO"),
        *_rules("static_key", "DEFINE_STATIC_KEY_MAYBE DEFINE_STATIC_KEY_MAYBE_RO DEFINE_STATIC_KEY_DEFERRED_FALSE", 1),
        *_rules("declaration", "DECLARE_STATIC_KEY_TRUE DECLARE_STATIC_KEY_FALSE"),
        *_rules("declaration", "DECLARE_STATIC_KEY_MAYBE", 1),
        *_rules("declaration", "DECLARE_STATIC_CALL DECLARE_EVENT_NOP DECLARE_TRACEPOINT"),
        *_rules("variable", "DEFINE_STATIC_CALL DEFINE_STATIC_CALL_NULL DEFINE_STATIC_CALL_RET0 DEFINE_IDA DEFINE_IDR"),
        *_rules("variable", "DEFINE_XARRAY DEFINE_XARRAY_ALLOC DEFINE_XARRAY_ALLOC1 DEFINE_XARRAY_FLAGS LIST_HEAD"),
        *_rules("variable", "HLIST_HEAD LLIST_HEAD HLIST_NULLS_HEAD DECLARE_WAIT_QUEUE_HEAD DECLARE_BITMAP DECLARE_COMPLETION"),
        *_rules("variable", "DECLARE_WORK DECLARE_DELAYED_WORK DECLARE_DEFERRABLE_WORK DECLARE_TASKLET DECLARE_TASKLET_OLD"),
        *_rules("variable", "DECLARE_TASKLET_DISABLED DECLARE_HASHTABLE DECLARE_SWAIT_QUEUE_HEAD"),
        *_rules("variable", "ATOMIC_NOTIFIER_HEAD BLOCKING_NOTIFIER_HEAD RAW_NOTIFIER_HEAD SRCU_NOTIFIER_HEAD RADIX_TREE"),
        *_rules("variable", "BPF_PROG_TYPE_RAW PM_QOS_DEFINE LSM_RET_DEFAULT KMEM_CACHE_DEFINE"),
        *_rules("variable", "DECLARE_KFIFO_PTR DECLARE_KFIFO DEFINE_KFIFO DEFINE_RATELIMIT_STATE DEFINE_TIMER"),
        *_rules("module_param", "module_param module_param_cb module_param_array module_param_string module_param_hw"),
        *_rules("module_param", "module_param_unsafe module_param_hw_array core_param core_param_cb kernel_param_cb"),
        *_rules("module_param", "module_param_named module_param_named_unsafe module_param_array_named param_check_named"),
        *_rules("setup", "__setup early_param early_param_on_off __setup_param", 1),
        *_rules("initcall", "module_init module_exit early_initcall pure_initcall core_initcall core_initcall_sync"),
        *_rules("initcall", "postcore_initcall postcore_initcall_sync arch_initcall arch_initcall_sync subsys_initcall"),
        *_rules("initcall", "subsys_initcall_sync fs_initcall fs_initcall_sync rootfs_initcall device_initcall"),
        *_rules("initcall", "device_initcall_sync late_initcall late_initcall_sync console_initcall security_initcall"),
        *_rules("initcall", "__initcall __exitcall machine_subsys_initcall machine_arch_initcall", 0),
        *_rules("initcall", "machine_device_initcall machine_core_initcall machine_late_initcall machine_fs_initcall", 1),
        *_rules("initcall", "module_platform_driver module_pci_driver module_i2c_driver module_spi_driver module_usb_driver"),
        *_rules("initcall", "builtin_platform_driver module_driver builtin_driver module_serdev_device_driver"),
        *_rules("tracepoint", "TRACE_EVENT TRACE_EVENT_CONDITION TRACE_EVENT_FN TRACE_EVENT_FN_COND", 0, ("trace_{0}",)),
        *_rules("tracepoint", "TRACE_EVENT_NOP TRACE_EVENT_FLAGS TRACE_EVENT_SYSCALL TRACE_EVENT_RCU", 0, ("trace_{0}",)),
        *_rules("tracepoint", "DEFINE_EVENT DEFINE_EVENT_PRINT DEFINE_EVENT_FN DEFINE_EVENT_CONDITION", 1, ("trace_{1}",)),
        *_rules("tracepoint", "DEFINE_EVENT_NOP DEFINE_EVENT_SCHEDSTAT DEFINE_RPC_CLNT_EVENT", 1, ("trace_{1}",)),
        *_rules("tracepoint", "DECLARE_TRACE DECLARE_TRACE_CONDITION DEFINE_TRACE DEFINE_TRACE_FN", 0, ("trace_{0}",)),
        *_rules("trace_class", "DECLARE_EVENT_CLASS DECLARE_EVENT_CLASS_NOP"),
        *_rules("bpf_helper", "BPF_CALL_# NOTRACE_BPF_CALL_#"),
        *_rules("asm_function", "SYM_FUNC_START SYM_FUNC_START_LOCAL SYM_FUNC_START_NOALIGN SYM_FUNC_START_WEAK"),
        *_rules("asm_function", "SYM_FUNC_START_LOCAL_NOALIGN SYM_FUNC_START_WEAK_NOALIGN SYM_CODE_START SYM_CODE_START_LOCAL"),
        *_rules("asm_function", "SYM_CODE_START_NOALIGN SYM_CODE_START_LOCAL_NOALIGN SYM_START SYM_TYPED_FUNC_START ENTRY"),
        *_rules("asm_function", "SYM_FUNC_ALIAS SYM_FUNC_ALIAS_WEAK SYM_FUNC_ALIAS_LOCAL SYM_INNER_LABEL WEAK ENTRY_CFI"),
        *_rules("asm_function", "SYM_INNER_LABEL_ALIGN GLOBAL _GLOBAL _GLOBAL_TOC SYM_FUNC_START_PI LEAF NESTED ENTRY_NOPROF"),
        *_rules("asm_data", "SYM_DATA SYM_DATA_START SYM_DATA_LOCAL SYM_DATA_START_LOCAL SYM_ENTRY SYM_DATA_START_NOALIGN"),
        *_rules("macro_function", "DEFINE_IDTENTRY DEFINE_IDTENTRY_ERRORCODE DEFINE_IDTENTRY_RAW DEFINE_IDTENTRY_IRQ"),
        *_rules("macro_function", "DEFINE_IDTENTRY_SYSVEC DEFINE_IDTENTRY_SYSVEC_SIMPLE DEFINE_IDTENTRY_RAW_ERRORCODE"),
        *_rules("macro_function", "DEFINE_SHOW_ATTRIBUTE DEFINE_SHOW_STORE_ATTRIBUTE", 0, ("{0}_open", "{0}_fops"), False),
        *_rules("macro_function", "DEFINE_SEQ_ATTRIBUTE", 0, ("{0}_open", "{0}_fops"), False),
        *_rules("macro_function", "DEFINE_PROC_SHOW_ATTRIBUTE", 0, ("{0}_open", "{0}_proc_ops"), False),
        *_rules("macro_function", "DEFINE_SIMPLE_ATTRIBUTE DEFINE_DEBUGFS_ATTRIBUTE DEFINE_SIMPLE_ATTRIBUTE_SIGNED", 0,
                ("{0}_open",)),
        *_rules("macro_function", "BUFFER_FNS", 1,
                ("buffer_{1}", "set_buffer_{1}", "clear_buffer_{1}"), False),
        *_rules("macro_function", "TAS_BUFFER_FNS", 1, ("test_set_buffer_{1}", "test_clear_buffer_{1}"), False),
        *_rules("macro_function", "PAGEFLAG", 0,
                ("Page{0}", "SetPage{0}", "ClearPage{0}", "folio_test_{1}", "folio_set_{1}", "folio_clear_{1}"), False),
        *_rules("macro_function", "__PAGEFLAG", 0,
                ("Page{0}", "__SetPage{0}", "__ClearPage{0}", "folio_test_{1}", "__folio_set_{1}", "__folio_clear_{1}"), False),
        *_rules("macro_function", "TESTPAGEFLAG", 0, ("Page{0}", "folio_test_{1}"), False),
        *_rules("macro_function", "SETPAGEFLAG", 0, ("SetPage{0}", "folio_set_{1}"), False),
        *_rules("macro_function", "CLEARPAGEFLAG", 0, ("ClearPage{0}", "folio_clear_{1}"), False),
        *_rules("macro_function", "TESTSCFLAG", 0,
                ("TestSetPage{0}", "TestClearPage{0}", "folio_test_set_{1}", "folio_test_clear_{1}"), False),
        *_rules("variable", _ATTRIBUTES, 0, ("dev_attr_{0}",), False),
        *_rules("variable", "BUS_ATTR_RO BUS_ATTR_RW BUS_ATTR_WO", 0, ("bus_attr_{0}",), False),
        *_rules("variable", "CLASS_ATTR_RO CLASS_ATTR_RW CLASS_ATTR_WO", 0, ("class_attr_{0}",), False),
        *_rules("variable", "DRIVER_ATTR_RO DRIVER_ATTR_RW DRIVER_ATTR_WO", 0, ("driver_attr_{0}",), False),
        *_rules("macro_function", "DEFINE_GUARD DEFINE_FREE DEFINE_CLASS DEFINE_LOCK_GUARD_0 DEFINE_LOCK_GUARD_1", 0,
                ("class_{0}_constructor", "class_{0}_destructor"), False),
        *_rules("tracepoint", "SYSCALL_TRACE_ENTER SYSCALL_TRACE_EXIT"),
        *_rules("note", "MODULE_LICENSE MODULE_AUTHOR MODULE_DESCRIPTION MODULE_ALIAS MODULE_VERSION MODULE_FIRMWARE", 9),
        *_rules("note", "MODULE_DEVICE_TABLE MODULE_PARM_DESC MODULE_SOFTDEP MODULE_IMPORT_NS MODULE_INFO", 9),
        *_rules("note", "ALLOW_ERROR_INJECTION BTF_ID_FLAGS BTF_ID BTF_ID_LIST_SINGLE BTF_SET_START SYM_FUNC_END", 9),
        *_rules("note", "NOKPROBE_SYMBOL NOKPROBE STACK_FRAME_NON_STANDARD SYM_CODE_END SYM_DATA_END END ENDPROC", 9),
        *_rules("note", "SYM_END BUILD_BUG_ON static_assert _Static_assert __asm__ asm TRACE_DEFINE_ENUM", 9),
        *_rules("note", "ACPI_MODULE_NAME ACPI_EXPORT_SYMBOL MACHINE_START DT_MACHINE_START EXPORT_TRACEPOINT", 9),
    ]
)  # fmt: skip
_DIGITS = re.compile(r"\d+(_SYM)?$")
_DEFINER = re.compile(r"_*(?:DEFINE|DECLARE|DEFINE_STATIC)_[A-Z0-9_]+$")
_NOT_A_NAME = MacroRule("macro_call")
_DEFINES = MacroRule("variable")
_DECLARES = MacroRule("declaration")


def macro_rule(name: str) -> MacroRule | None:
    """The rule of a macro that is called at the top level, or None when nothing is known about it."""
    rule = TABLE.get(name) or TABLE.get(_DIGITS.sub("#", name))
    if rule is None and _DEFINER.match(name):
        return _DECLARES if name.lstrip("_").startswith("DECLARE") else _DEFINES
    return rule


_MAKERS = {name.encode() for name, rule in TABLE.items() if rule.made}
_BYTE_DIGITS = re.compile(rb"\d+(_SYM)?$")


def made_names(macro: bytes, arguments: bytes) -> list[bytes]:
    """The names that a call makes beyond its arguments."""
    if macro not in _MAKERS and _BYTE_DIGITS.sub(b"#", macro) not in _MAKERS:
        return []
    rule = macro_rule(macro.decode())
    assert rule is not None
    words = [_last_word(argument) for argument in arguments.split(b",", 2)[:2]]
    words += [""] * (3 - len(words))
    return [name.encode() for name in (text.format(*words) for text in rule.made) if name]


def _last_word(argument: bytes) -> str:
    found = _WORDS.findall(argument.split(b")", 1)[0])
    return found[-1].decode() if found else ""


_WORDS = re.compile(rb"\w+")
_TEMPLATES = {text for rule in TABLE.values() for text in rule.made}
_MADE = [re.compile(re.sub(r"\\{\d\\}", r"(\\w+)", re.escape(text)).encode()) for text in sorted(_TEMPLATES)]


def argument_of(name: bytes) -> set[bytes]:
    """The arguments from which a macro of the kernel would make a name: `sys_read` comes of `read`."""
    matches = (pattern.fullmatch(name) for pattern in _MADE)
    return {match[1] for match in matches if match}
