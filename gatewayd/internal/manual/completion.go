package manual

import (
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

// BashCompletion writes the completion for bash of a program with these commands.
func BashCompletion(w io.Writer, root *kong.Node) error {
	var b strings.Builder
	b.WriteString(`# Completion of gatewayd for bash.
_gatewayd() {
	local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}
	local command='' word i
	for ((i = 1; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		case $word in
		--config) i=$((i + 1)) ;;
		-*) ;;
		sim) command=sim ;;
		*)
			[[ $command != sim ]] || word="sim $word"
			command=$word
			break
			;;
		esac
	done
	case $previous in
	--config)
		mapfile -t COMPREPLY < <(compgen -f -- "$current")
		return
		;;
	esac
	local words
	case $command in
`)
	var top, sub []string
	for _, c := range root.Leaves(true) {
		first, second, nested := strings.Cut(commandName(c), " ")
		if nested {
			sub = append(sub, second)
		}
		if len(top) == 0 || top[len(top)-1] != first {
			top = append(top, first)
		}
		words := []string{"--help"}
		for _, f := range ownFlags(c) {
			words = append(words, "--"+f.Name)
			if f.Enum != "" {
				for v := range strings.SplitSeq(f.Enum, ",") {
					words = append(words, v)
				}
			}
		}
		fmt.Fprintf(&b, "\t%q) words=%q ;;\n", commandName(c), strings.Join(words, " "))
	}
	fmt.Fprintf(&b, "\tsim) words=%q ;;\n", strings.Join(sub, " "))
	fmt.Fprintf(&b, "\t*) words=%q ;;\n", strings.Join(append(top, "--config", "--help"), " "))
	b.WriteString(`	esac
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}
complete -F _gatewayd gatewayd
`)
	_, err := io.WriteString(w, b.String())
	return err
}
