"""Tell a command from other code, and take a fence of shell text apart into commands."""

from __future__ import annotations

import re
import shlex

_ALONE = frozenset(
    "arp blkid crontab date df dmesg docker du env free git groups history hostname hostnamectl htop id ifconfig iostat ip jobs "
    "journalctl last lastlog ls lsblk lscpu lsmem lsmod lsof lspci lsusb make mount mpstat netstat nproc nvidia-smi printenv ps pstree "
    "pwd reboot route sensors ss sync sysctl systemctl tmux top tree ufw ulimit umask uname uptime users vmstat w who whoami".split()
)
_WITH_WORDS = (
    frozenset(
        "add-apt-repository alias ansible ansible-playbook apk apt apt-cache apt-get at awk aws az base64 basename bash bat borg brew bundle bzip2 cal cargo cat cd "
        "chage chgrp chmod chown chroot cksum clang cmake cmp column comm composer conda cp cpio curl cut dd deno dig dirname dnf docker-compose "
        "dotnet dpkg echo egrep env ethtool exec expand expr export fallocate fdisk fgrep file find firewall-cmd fsck fuser g++ gcc gcloud gdb getent gh "
        "go gpasswd gpg grep gradle groupadd gunzip gzip head helm host iptables java javac join jq kill killall kubectl kubectx less ln locate logger login logrotate "
        "look lsattr ls ln man md5sum mkdir mkfs mktemp mkswap more mtr mv mvn mysql mysqldump nano nc ncdu netcat nft nginx ng nice nl nmap nmcli node nohup "
        "npm npx nslookup numfmt od openssl pacman parallel passwd paste patch perl pgrep php pidof ping pip pip3 pipx pkill pnpm podman poetry "
        "printf psql pt-archiver puppet pytest python python3 rbash rclone read readlink realpath redis-cli renice restic rg rm rmdir rpm rsync ruby "
        "ruff rustc sar scp screen sed seq service set sftp sh sha1sum sha256sum shred shuf shutdown sleep snap sort source split sqlite3 ssh "
        "ssh-copy-id ssh-keygen stat strace stty su sudo supervisorctl svn swapoff swapon tac tail tar tcpdump tee telnet terraform test time timedatectl "
        "timeout touch tox tr traceroute truncate tsc tune2fs type unalias uniq unlink unset unxz unzip update-rc.d useradd userdel usermod uv vi vim virsh "
        "wall watch wc wget whereis which xargs xz yarn yq yum zcat zfs zgrep zip zpool zsh mongosh mongodump pg_dump pg_restore certbot".split()
    )
    | _ALONE
)
_PROMPT = re.compile(r"^\s*(?:[\w.-]+@[\w.-]+[:~/\w .-]*[$#]|[$%❯➜]|#(?=\s*(?:apt|systemctl|sudo)\b)|PS [^>]*>)\s+")
_PATH_RUN = re.compile(r"^(?:\./|/usr/|/bin/|/sbin/|/opt/|/etc/init\.d/|~/)[\w./-]+$")
_OPENS_SCRIPT = re.compile(r"^\s*(?:for|while|until|if|case|function)\b|<<-?\s*['\"]?\w+|\{\s*$|^#!")
SHELL_LANGUAGES = frozenset(
    "bash sh shell zsh console terminal shell-session shellsession ksh fish powershell cmd bat".split()
)


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
    if first in (
        "env",
        "time",
        "at",
        "read",
        "set",
        "type",
        "test",
        "host",
        "look",
        "make",
        "file",
        "sort",
        "which",
        "find",
        "join",
    ):
        return _flagged(words[1:]) or len(words) <= 4
    return first in _WITH_WORDS or _PATH_RUN.match(first) is not None


def names_program(text: str) -> bool:
    """Whether code is the bare name of a program or a flag: what an explanation talks about."""
    return len(text.split()) == 1


def has_placeholder(command: str) -> bool:
    """Whether a command has blanks to be filled in."""
    return (
        re.search(
            r"<[A-Za-z][\w .\-/]*>|\byour[_-]\w+|\{\{?[a-z_ ]+\}?\}|/path/to/|\[[A-Z_ ]{3,}\]|\.\.\.(?:$|\s)|\bexample\.com\b",
            command,
        )
        is not None
    )


def commands_in(body: str) -> list[str]:
    """The commands of a fence, in order: prompts taken off, comments and printed output left out, long ones joined."""
    lines = [line.rstrip() for line in body.split("\n")]
    prompted = [_PROMPT.sub("", line) for line in lines if _PROMPT.match(line)]
    if prompted:
        return [line.strip() for line in prompted if line.strip()]
    kept = [line for line in lines if line.strip() and not re.match(r"\s*#(?!!)", line)]
    if not kept:
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
    if not re.match(r"(?:sudo\s+)?ssh\s", command):
        return None
    found = re.match(
        r"(?:sudo\s+)?ssh\s+((?:-\w+(?:\s+(?!\S*@)[^\s'\"-][^\s'\"]*(?=\s))?\s+)*)(?:[\w.-]+@)?([\w.-]+)\s*(.*)$",
        command,
        re.DOTALL,
    )
    if not found:
        return None
    inner = found[3].strip()
    if len(inner) > 1 and inner[0] == inner[-1] and inner[0] in "\"'":
        inner = inner[1:-1]
    return found[2], inner.strip()


def split_folder(command: str) -> tuple[str, str] | None:
    """`(folder, command)` of `cd folder && command` and `git -C folder command`."""
    found = re.match(r"cd\s+(\S+)\s*(?:&&|;)\s*(.+)$", command, re.DOTALL)
    if found:
        return found[1].strip("\"'"), found[2].strip()
    found = re.match(r"git\s+-C\s+(\S+)\s+(.+)$", command, re.DOTALL)
    return (found[1].strip("\"'"), f"git {found[2].strip()}") if found else None


def _program(words: list[str]) -> str | None:
    at = 0
    while at < len(words) and (
        re.match(r"[A-Z_][A-Z0-9_]*=", words[at]) or words[at] in ("sudo", "time", "nohup", "watch", "nice")
    ):
        at += 1
    if at == len(words):
        return words[0] if words else None
    return words[at] if re.match(r"[A-Za-z0-9_./~+-]+$", words[at]) else None


def _flagged(words: list[str]) -> bool:
    return any(word.startswith(("-", "/", ".", "~", "$", "|", "*", "'", '"')) for word in words)


def quoted_ok(command: str) -> bool:
    """Whether the quotes of a command close."""
    try:
        shlex.split(command)
    except ValueError:
        return False
    return True
