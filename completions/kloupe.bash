# bash completion for kloupe
_kloupe() {
    local word="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}"
    case "$before" in
        -f|--format) COMPREPLY=($(compgen -W "text json" -- "$word")); return ;;
        -B) COMPREPLY=($(compgen -W "line full none" -- "$word")); return ;;
        --engine) COMPREPLY=($(compgen -W "kernel ptrace machine" -- "$word")); return ;;
    esac
    if [[ $COMP_CWORD == 2 && $before == source ]]; then
        COMPREPLY=($(compgen -W "index def refs callers callees calls text regex file includers assigns members implementers config probes tags" -- "$word")); return
    fi
    if [[ $word == -* ]]; then
        COMPREPLY=($(compgen -W "-e -l --list -p --pid -c --cmd -o --output -f --format -B -q --quiet -v --verbose -k --warnings --no-warnings -I --include --unsafe --dry-run --test --bench --fmt -d --debug --emit --engine --record --replay --info -V --version -h --help --mode --traceable-functions --debuginfo --no-feature --probe-filter" -- "$word"))
    else
        COMPREPLY=($(compgen -W "cscope demo doctor ftrace source syscall" -- "$word") $(compgen -f -- "$word"))
    fi
}
complete -F _kloupe kloupe
