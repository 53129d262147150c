"""Lines with something planted in them that must be found, and lines that must be left as they are.

Keys are put together from pieces, so that no scanner takes this file for a leak.
"""

from __future__ import annotations

HEX = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
MIX = "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5bC7dE9fG1hJ3"

# (kind, line with {} where the secret stands, the secret)
PLANTED: list[tuple[str, str, str]] = [
    # e-mail addresses
    ("email", "Write to {} about it.", "bob@example.com"),
    ("email", "cc: {}, and me", "Mary.O-Neil+work@mail.example.co.uk"),
    ("email", "<{}>", "first.last@sub.domain.example.org"),
    ("email", "mailto:{}?subject=hi", "jane_doe99@example.io"),
    ("email", "user=%20{}&x=1", "x1@example.net"),
    ("email", "https://example.test/u?mail={}", "anna%40example.de"),
    ("email", "'{}'", "quoted@example.com"),
    ("email", "Mail {}. Then call.", "end.of.sentence@example.com"),
    ("email", "Jürgen: {}", "jürgen@müller.example"),
    ("email", "{}-- sent from", "dash@example.com"),
    ("email", "ssh {} uptime", "deploy@web01.example.com"),
    ("email", "{}\n", "123456@163.com"),
    ("email", '{{"to": "{}"}}', "tenant.12b@homes.example.com"),
    ("email", "To:{};", "UPPER.CASE@EXAMPLE.COM"),
    ("email", "author Jane <{}> 1700000000 +0000", "jane@xn--bcher-kva.example"),
    # phone numbers
    ("phone", "Call me at {} tonight", "(415) 555-0123"),
    ("phone", "tel:{}", "+1-415-555-0123"),
    ("phone", "{} is my cell", "415-555-0123"),
    ("phone", "reach us: {}", "415.555.0123"),
    ("phone", "phone {}", "4155550123"),
    ("phone", "My phone number is {}.", "415 555 0123"),
    ("phone", "{} (office)", "+44 20 7946 0958"),
    ("phone", "ring {}", "020 7946 0958"),
    ("phone", "mobil {}", "07700 900123"),
    ("phone", "Tel. {}", "030/123456"),
    ("phone", "Handy: {}", "0171-1234567"),
    ("phone", "{}", "+49 (0)30 123456-78"),
    ("phone", "Appelez le {} demain", "06 12 34 56 78"),
    ("phone", "fax {}", "01.42.68.53.00"),
    ("phone", "wa {}", "+919876543210"),
    ("phone", "{} WeChat", "138-1234-5678"),
    ("phone", "電話 {}", "03-1234-5678"),
    ("phone", "zavolejte {}", "+420 601 123 456"),
    ("phone", "from {}", "0049 30 901820"),
    ("phone", '{{"phone": "{}"}}', "5550123456"),
    ("phone", "phone_number={}", "2125550187"),
    ("phone", "text me on {}", "555-0123"),
    ("phone", "call 1-800 line: {}", "1-800-555-0199"),
    ("phone", "Oslo {}", "+47 22 85 50 50"),
    ("phone", "São Paulo {}", "(11) 98765-4321"),
    ("phone", "Tenant {} reports a leak", "(312) 555-0147"),
    ("phone", "unit 4B, {}, no heat", "646-555-0171"),
    ("phone", "SMS to {}", "+61 412 345 678"),
    ("phone", "📞 {}", "0412 345 678"),
    # numbers of cards (the issuers' own test numbers) and of accounts (the registry's examples)
    ("card", "Pay with {}, please", "4111 1111 1111 1111"),
    ("card", "card: {}", "4111-1111-1111-1111"),
    ("card", '{{"card": "{}"}}', "4242424242424242"),
    ("card", "{}\n", "5555 5555 5555 4444"),
    ("card", "MC {}.", "2223003122003222"),
    ("card", "amex {}", "3782 822463 10005"),
    ("card", "amex ({})", "371449635398431"),
    ("card", "It is {}, valid to 12/27", "6011 1111 1111 1117"),
    ("card", "Diners {}", "3056 930902 5904"),
    ("card", "JCB={}", "3530111333300000"),
    ("card", "phone {}", "6200 0000 0000 0005"),
    ("card", "{} 12/27 123", "4000 0566 5566 5556"),
    ("card", "ann,{},12/27", "4012888888881881"),
    ("iban", "to {}", "DE89370400440532013000"),
    ("iban", "IBAN: {}, please", "DE89 3704 0044 0532 0130 00"),
    ("iban", "{} EUR 50", "GB29 NWBK 6016 1331 9268 19"),
    ("iban", '{{"iban": "{}"}}', "FR1420041010050500013M02606"),
    ("iban", "konto {}.", "NO93 8601 1117 947"),
    ("iban", "rek. {}", "NL91ABNA0417164300"),
    ("iban", "from {} to me", "CH93 0076 2011 6238 5295 7"),
    ("iban", "{}", "MT84MALT011000012345MTLCAST001S"),
    # keys whose form gives them away
    ("key", "aws_access_key_id {}", "AKIA" + "IOSFODNN7EXAMPLE"),
    ("key", "found {} in the log", "ASIA" + "Y34FZKBOKMUTVV7A"),
    ("key", "git clone with {}", "ghp" + "_" + MIX[:36]),
    ("key", "GH {}", "github" + "_pat_" + MIX[:22] + "_" + MIX),
    ("key", "runner {}", "gl" + "pat-" + MIX[:20]),
    ("key", "use {} please", "sk" + "-" + MIX),
    ("key", "use {} please", "sk" + "-proj-" + MIX[:20] + "_" + MIX[:22]),
    ("key", "claude {}", "sk" + "-ant-api03-" + MIX + "-" + MIX[:20] + "AA"),
    ("key", "router {}", "sk" + "-or-v1-" + HEX),
    ("key", "pay {}", "sk" + "_live_" + MIX[:24]),
    ("key", "bot {}", "xox" + "b-123456789012-1234567890123-" + MIX[:24]),
    ("key", "app {}", "xapp" + "-1-A0123456789-" + MIX[:20]),
    ("key", "https://hooks.slack.com/services/{}", "T00000000/B00000000/" + MIX[:24]),
    ("key", "maps key {}", "AI" + "za" + MIX[:35]),
    ("key", "oauth {}", "GOCSPX" + "-" + MIX[:28]),
    ("key", "hub {}", "hf" + "_" + MIX[:34]),
    ("key", "mail {}", "SG" + "." + MIX[:22] + "." + MIX[:43]),
    ("key", "sms {}", "SK" + HEX[:32]),
    ("key", "tg {}", "123456789:" + "AA" + MIX[:33]),
    ("key", "do {}", "dop" + "_v1_" + HEX),
    ("key", "brick {}", "dapi" + HEX[:32]),
    ("key", "fast {}", "gsk" + "_" + MIX),
    ("key", "npm {}", "npm" + "_" + MIX[:36]),
    ("key", "vault {}", "hvs" + "." + MIX[:28]),
    # tokens
    (
        "token",
        "cookie {} end",
        "eyJhbGciOiJIUzI1NiJ9" + "." + "eyJzdWIiOiIxMjM0NTY3ODkwIn0" + "." + "dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P",
    ),
    ("token", "Authorization: Bearer {}", MIX),
    ("token", 'curl -H "Authorization: Bearer {}" x', HEX[:40]),
    ("token", "Authorization: Basic {}", "YWxhZGRpbjpvcGVuc2VzYW1l"),
    ("token", "X-Api-Key: {}", "k3y-for-the-gate-99"),
    ("token", "the header is bearer {}", "abc123def456ghi789"),
    ("token", '"refresh_token": "{}"', "1//0gabcDEF-ghi_JKL"),
    ("token", "export CI_JOB_TOKEN={}", "a1b2c3d4e5f6"),
    ("token", "access token: {}", "f00ba4-9912-77"),
    ("token", "?token={}&x=1", "9f86d081884c"),
    # secrets that are called so
    ("password", "password={}", "hunter2"),
    ("password", "password: {}", "Tr0ub4dor&3".replace("&", "+")),
    ("password", "Password: {}\nLogin fails", "swordfish"),
    ("password", 'PASSWORD = "{}"', "correct horse battery staple"),
    ("password", "DB_PASSWORD={}", "s3cr3t!"),
    ("password", "{{'passwd': '{}'}}", "letmein99"),
    ("password", "my password is {}", "Summer2024!"),
    ("password", "mysql --password={} -u root", "t0psecret"),
    ("password", "tool --password {} run", "t0psecret"),
    ("password", "sshpass -p {} ssh web", "'pw12345'".strip("'")),
    ("password", "curl -u admin:{} http://x", "changeme1"),
    ("password", "postgres://app:{}@db.internal:5432/app", "p4ssw0rd"),
    ("password", "redis://:{}@cache:6379/0", "r3d1spw"),
    ("password", "amqp://u:{}@mq/vh", "p@ss"),
    ("password", "Server=db;User Id=sa;Password={};", "Str0ng(1)".replace("(1)", "1")),
    ("password", '{{\\"password\\": \\"{}\\"}}', "inner-9"),
    ("password", "wifi passphrase: {}", "blue-Lake-42"),
    ("key", "aws_secret_access_key = {}", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
    ("key", "api_key: {}", "9f86d081884c7d65"),
    ("key", '"apiKey": "{}"', "0123456789abcdef0123"),
    ("key", "client_secret={}", "Zx9-Yw8_Vu7"),
    ("key", "SECRET_KEY = '{}'", "django-insecure-abc123"),
    ("key", "AccountKey={};EndpointSuffix", "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq=="),
    ("key", "the api key is {}", "abcd-1234-efgh"),
    ("private_key", "{}", "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA\nabc=\n-----END RSA PRIVATE KEY-----"),
    (
        "private_key",
        "key:\n{}\nafter",
        "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk\n-----END OPENSSH PRIVATE KEY-----",
    ),
    ("private_key", "{}", "-----BEGIN PRIVATE KEY-----\\nMIIEvQIBADANBg\\n-----END PRIVATE KEY-----"),
    ("private_key", "{}", "-----BEGIN EC PRIVATE KEY-----\n" + MIX + "\n" + MIX[::-1]),
    # what is known not to be found: counted, so that the recall is honest
    ("email", "bob {} example dot com", "at"),
    ("phone", "4155550123 {}", "2125550187"),
    ("password", "the pass phrase we use: {} ok", "opensesame"),
    ("key", "try {}", "Zm9vYmFyYmF6cXV4MTIzNDU2"),
]

# three numbers for each of 24 countries as the generator Faker writes them: nobody here chose their form
# fmt: off
NUMBERS = [
    "412-215-4728x0385", "6145620168", "431.624.0234x48347", "+44(0)1134960824", "(0131) 496 0597",
    "0121 496 0026", "+49 (0) 0579 868282", "(04125) 24273", "(02199) 35181", "+33 1 46 72 90 22",
    "0285601815", "+33 4 81 37 99 07", "+34 842 366 712", "+34877735379", "+34 972 465 075", "3500268466",
    "+39 351257986", "05729898378", "(0801)-759898", "0348-395486", "+3113-1373537", "+46 (0)86 25 27 60",
    "012-76 84 26", "052-88 20 01", "501 396 245", "792 601 815", "518 246 281", "42 9797-1147",
    "86 9180-5888", "+55 43 8609-1390", "070-3962-4595", "070-8301-6613", "03-1372-1590", "18851163726",
    "13927918058", "13003852808", "8200182633", "02651676122", "5242731672", "7511 6372", "1862.5276",
    "07.2808.4148", "00420 705 199 351", "+420 705 613 186", "+420 705 579 754", "51 67 61 22",
    "+45 34236671", "+45 3079 2440", "39336338", "966 61 760", "85253888", "+358 057986828", "+358 633875004",
    "(+358) 801759898", "033-590-1092", "055-372-6516", "010-8200-1826", "0633 043 48 39", "01144024264",
    "(289)078 6666", "247-439-5755", "(101) 661-3186", "811-777-7412 x154", "932828807", "(351) 289 555 979",
    "(351) 237 215 901", "+43 5224 27316 723", "+43 757706589481", "+43 737574911862", "+41 79 170 34 23",
    "0901 330 434", "+41 27 924 40 26",
]
# fmt: on

HARMLESS = """\
2024-01-05 10:22:31,123 INFO started
2024-01-05T10:22:31.123Z 200 GET /api/v1/items/4155550123
on 05/12/2023 and 12-05-2023 we met
from 01.02.2024 to 28.02.2024
call 2024-01-05 10:00
192.168.1.10 and 10.0.0.1:8080 and 255.255.255.255
ping 172.16.254.1 -c 4
2001:db8::ff00:42:8329 is up
version 1.22.333.4444
pip install foo==2024.10.12
kernel 6.1.0-13-amd64
lodash@4.17.21 and react@18.0.0-rc.1
user@1000.service failed, getty@tty1.service active
icon@2x.png and logo@3x.webp
git clone git@github.com:org/repo.git
npm i @scope/package
ssh root@web-01 'df -h'
ssh admin@10.0.0.5
rsync -a app@build7:/srv/out .
total 1234567890 bytes
epoch 1700000000 and 1700000000000
order 20240105123456 shipped
PID 41555 50123
id 550e8400-e29b-41d4-a716-446655440000
sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
commit d670460b4b4aece5915caf5c68d12f560a9fe3e4
md5 5d41402abc4b2a76b9719d911017c592
$1,234,567.89 or 1.234.567,89 EUR
price 415.55 to 555.01
ISBN 978-3-16-148410-0
ISBN 0-306-40615-2
lat 37.7749, lon -122.4194
free: 512 256 1024 2048
              total        used        free      shared  buff/cache   available
Mem:        16384000     8192000     4096000      512000     4096000     7000000
00000000  7f 45 4c 46 02 01 01 00  00 00 00 00 00 00 00 00
0x7ffee4b2 0xdeadbeef
MAC 00:1a:2b:3c:4d:5e
10:15:30 up 12 days, load average: 0.01, 0.05, 0.00
unit 4B-1234-5678 and INV-415-555-0123
ticket #415-555-0123
SKU 1234-5678-9012
Nature 567 (2019) 1234-1240
rows 1000-2000-3000
+12345678 lines, -1234 lines
UTC+0200 and GMT+01:00
crontab 0 5 * * 1
chmod 0644 file && umask 0022
seq 01 10
max_tokens: 256 and max_tokens=1024
tokens: 123456 used
token count is 4096
prompt_tokens=1234567
password: required
the password is incorrect
password is missing
password = getpass.getpass()
password = os.environ["DB_PASSWORD"]
PASSWORD=$DB_PASSWORD
password: ${DB_PASSWORD}
password={{ vault_password }}
"password": {"type": "string"}
token: str | None = None
"token": "string"
def login(user: str, password: str) -> Token:
api_key: Optional[str]
forgot my password, please help
reset the password for the tenant
the secret is to listen
a secret: never give up
set the token type
tokenizer = load(path)
secretary: Bob
keyboard: qwerty
Basic authentication is off
bearer of good news
the bearer authentication scheme
sk-learn is not a key
class="sk-fading-circle-spinner-animation"
task-0123456789-abcdefghij-klmnop
risk-adjusted-return-on-capital-2023
look for -----BEGIN PUBLIC KEY----- lines
ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQC7
http://localhost:11434/api/chat
https://example.com:443/path?x=1&y=2
ftp://host/path
jdbc:postgresql://db:5432/app
see file:///etc/hosts
const x = a @ b.c
@app.route("/x")
@dataclass class A.b
5 @ 3.50 each
eyJ is how a token begins
Q3 2023: 415 units, 555 sold, 0123 left
call the function with 3 arguments
call_1234567890 returned
cell 5 of 12
ring buffer of 4096
text 1234567 is long
mobile first design, 2023
phone case, 12.99
top 10 100 1000
/var/log/app-2024-01-05.log.1
192.168.100.200/24
1e-4 3.14159265358979
4111 1111 1111 1112
4111111111111112 and 5555555555554445 fail their check
12345678901234567890
0.4111111111111111
job-4111111111111111-a and id_4242424242424242
4111111111111111abc and a4242424242424242
1700000000000000 us, 1732197000123456789 ns
1234 5678 9012 3456 7890
9999999999999995
DE89370400440532013001 fails its check
XX89370400440532013000
GB29 is a room, DE10 a motorway
DE893704004405320130000000
AT61 1904 3002 3457 3202 fails its check
D41D8CD98F00B204E9800998ECF8427E
v2024.415.555
build 1.415.555.0123
Room 415-5550
docker run -p 8080:80 -v /a:/b image@sha256:abc
Write the 3 4 5 triangle
07:00 to 09:30 on 0 days
"""
