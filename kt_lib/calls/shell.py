"""Tell a command from other code, and take a fence of shell text apart into commands."""

from __future__ import annotations

import re

_ALONE = frozenset(
    """
    arp blkid crontab date df dmesg docker du env free git groups history hostname hostnamectl htop id ifconfig
    iostat ip jobs journalctl last lastlog ls lsblk lscpu lsmem lsmod lsof lspci lsusb make mount mpstat netstat
    nproc nvidia-smi printenv ps pstree pwd reboot route sensors ss sync sysctl systemctl tmux top tree ufw
    ulimit umask uname uptime users vmstat w who whoami
    """.split()
)
_WITH_WORDS = _ALONE | frozenset(
    """
    add-apt-repository alias ansible ansible-playbook apk apt apt-cache apt-get at awk aws az base64 basename
    bash bat borg brew bundle bzip2 cal cargo cat cd certbot chage chgrp chmod chown chroot cksum clang cmake
    cmp column comm composer conda convert cp cpio curl cut dd deno dig dirname dnf docker-compose dotnet dpkg
    echo egrep exec expand expr export fallocate fdisk ffmpeg fgrep file find firewall-cmd flake8 fsck fuser g++
    gcc gcloud gdb getent gh go gpasswd gpg grep gradle groupadd gunzip gzip head helm host iptables java javac
    join jq kill killall kubectl kubectx less ln locate logger login logrotate look lsattr ln man md5sum mkdir
    mkfs mktemp mkswap mongodump mongosh more mtr mv mvn mypy mysql mysqldump nano nc ncdu netcat nft nginx ng
    nice nl nmap nmcli node nohup npm npx nslookup numfmt od openssl pacman parallel passwd paste patch perl
    pg_dump pg_restore pgrep php pidof ping pip pip3 pipx pkill pnpm podman poetry pre-commit printf psql pytest
    python python3 rclone read readlink realpath redis-cli renice restic rg rm rmdir rpm rsync ruby ruff rustc
    sar scp screen sed seq service set sftp sh sha1sum sha256sum shred shuf shutdown sleep snap sort source
    split sqlite3 ssh ssh-copy-id ssh-keygen stat strace stty su sudo supervisorctl svn swapoff swapon tac tail
    tar tcpdump tee telnet terraform test time timedatectl timeout touch tox tr traceroute truncate tsc tune2fs
    type unalias uniq unlink unset unxz unzip update-rc.d useradd userdel usermod uv vi vim virsh wall watch wc
    wget whereis which xargs xz yarn yq yum zcat zfs zgrep zip zpool
    """.split()
)
_ALSO_ENGLISH = frozenset(
    """
    at cat cut date find file free go group head history host join kill last less look make man more mount nice
    node patch printf read service set sort source split test time touch top tree type users w watch which who
    """.split()
)
_PROMPT = re.compile(
    r"^\s*(?:[\w.-]+@[\w.-]+[:~/\w .-]*[$#]|[$%❯➜]|#(?=\s*(?:apt|systemctl|sudo)\b)|PS [^>]*>)\s+",
)
_PATH_RUN = re.compile(r"^(?:\.{0,2}/|~/|\.?\w[\w.-]*/)[\w./-]+$")
_OPENS_SCRIPT = re.compile(r"^\s*(?:for|while|until|if|case)\b|<<-?\s*['\"]?\w+")
_DEFINES = re.compile(r"^\s*(?:#!|function\s+\w+|\w+\s*\(\)\s*\{)", re.MULTILINE)
_BLANK = re.compile(
    r"<[A-Za-z][\w .\-/]*>|\byour[_-]\w+|\{\{?[a-z_ ]+\}?\}(?!\s*\\;)|/path/to/|\[[A-Z_ ]{3,}\]|\bexample\.com\b",
)
_SSH = re.compile(
    r"(?:sudo\s+)?ssh\s+((?:-\w+(?:\s+(?!\S*@)[^\s'\"-][^\s'\"]*(?=\s))?\s+)*)(?:[\w.-]+@)?([\w.-]+)\s*(.*)$", re.DOTALL
)
SHELL_LANGUAGES = frozenset("bash sh shell zsh console terminal shell-session shellsession ksh fish".split())
"""Language tags of fences that hold shell commands."""


def is_command(text: str) -> bool:
    """Whether code reads as a shell command with its words, not a name, a flag, a path or a file."""
    text = text.strip()
    if not text or text[0] in "-<{[\"'|&>" or "\n" in text:
        return False
    words = text.split()
    first = _program(words)
    if first is None:
        return False
    if len(words) == 1:
        return first in _ALONE
    if words[1].lower() in ("is", "are", "was", "has", "not", "failed", "can", "cannot", "will"):
        return False  # "nginx is up": a sentence about a program
    return first in _WITH_WORDS or _PATH_RUN.match(first) is not None


def is_bare_command(text: str) -> bool:
    """Whether a whole answer without any marking is a command: one line whose words are no English sentence."""
    words = text.split()
    if "\n" in text or text.endswith((".", "!", "?", ":")) or not is_command(text):
        return False
    return words[0] not in _ALSO_ENGLISH or any(re.match(r"[-/.~$|*'\"]", word) for word in words[1:])


def has_blank(command: str) -> bool:
    """Whether a command has blanks to be filled in, such as `<hostname>` or `/path/to/file`."""
    return _BLANK.search(command) is not None or re.search(r"(?<!\.)\.\.\.(?:$|\s)", command) is not None


def commands_in(body: str) -> list[str]:
    """The commands of a fence, in order: prompts taken off, comments and printed output left out, long ones joined."""
    lines = [line.rstrip() for line in body.split("\n")]
    prompted = [_PROMPT.sub("", line) for line in lines if _PROMPT.match(line)]
    if prompted:
        return [line.strip() for line in prompted if line.strip()]
    kept = [line for line in lines if line.strip() and not re.match(r"\s*#(?!!)", line)]
    if not kept or _DEFINES.search(body):
        return []
    if len(kept) > 1 and any(_OPENS_SCRIPT.search(line) for line in kept):
        return ["\n".join(kept).strip()]
    commands: list[str] = []
    for line in kept:
        if commands and commands[-1].endswith("\\"):
            commands[-1] = commands[-1][:-1].rstrip() + " " + line.strip()
        elif commands and (re.search(r"(?:\||&&|\|\|)$", commands[-1]) or re.match(r"\s*(?:\||&&|\|\|)", line)):
            commands[-1] += " " + line.strip()
        else:
            commands.append(line.strip())
    return [re.sub(r"\s+#\s.*$", "", command).strip() for command in commands]


def split_ssh(command: str) -> tuple[str, str] | None:
    """`(host, command)` of `ssh [options] [user@]host [command]`; the command is empty for a bare login."""
    found = _SSH.match(command)
    if not found:
        return None
    inner = found[3].strip()
    if len(inner) > 1 and inner[0] == inner[-1] and inner[0] in "\"'":
        inner = inner[1:-1]
    return found[2], inner.strip()


def split_folder(command: str) -> tuple[str, str] | None:
    """`(folder, command)` of `cd folder && command` and `git -C folder command`."""
    found = re.match(r"cd\s+(\S+)\s*(?:&&|;|\n)\s*(.+)$", command, re.DOTALL)
    if found:
        return found[1].strip("\"'"), found[2].strip()
    found = re.match(r"git\s+-C\s+(\S+)\s+(.+)$", command, re.DOTALL)
    return (found[1].strip("\"'"), f"git {found[2].strip()}") if found else None


def _program(words: list[str]) -> str | None:
    at = 0
    while at < len(words) - 1 and (
        re.match(r"[A-Z_][A-Z0-9_]*=", words[at]) or words[at] in ("sudo", "time", "nohup", "watch", "nice")
    ):
        at += 1
    return words[at] if re.match(r"[A-Za-z0-9_./~+-]+$", words[at]) else None
