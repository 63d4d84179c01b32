# fish completion for coracle; made by src/gen/docs.c. The candidates come from the program's own command table.
function __coracle_complete
    set -l words (commandline -opc) (commandline -ct)
    for line in ($words[1] __complete -- $words[2..-1] 2>/dev/null)
        switch $line
            case :files
                __fish_complete_path (commandline -ct)
            case :dirs
                __fish_complete_directories (commandline -ct)
            case '*'
                echo $line
        end
    end
end
complete -c coracle -f -a '(__coracle_complete)'
