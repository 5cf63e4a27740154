"""Which endings of addresses, account numbers and names are given out, and which stand for nobody?"""

from __future__ import annotations

_COUNTRIES = """
ac ad ae af ag ai al am ao aq ar as at au aw ax az ba bb bd be bf bg bh bi bj bm bn bo br bs bt bw by bz ca cc cd cf cg
ch ci ck cl cm cn co cr cu cv cw cx cy cz de dj dk dm do dz ec ee eg er es et eu fi fj fk fm fo fr ga gd ge gf gg gh gi
gl gm gn gp gq gr gs gt gu gw gy hk hm hn hr ht hu id ie il im in io iq ir is it je jm jo jp ke kg kh ki km kn kp kr kw
ky kz la lb lc li lk lr ls lt lu lv ly ma mc md me mg mh mk ml mm mn mo mp mq mr ms mt mu mv mw mx my mz na nc ne nf ng
ni nl no np nr nu nz om pa pe pf pg ph pk pl pm pn pr ps pt pw py qa re ro rs ru rw sa sb sc sd se sg sh si sk sl sm sn
so sr ss st su sv sx sy sz tc td tf tg th tj tk tl tm tn to tr tt tv tw tz ua ug uk us uy uz va vc ve vg vi vn vu wf ws
ye yt za zm zw
"""
_GENERIC = """
com org net edu gov mil int info biz name pro aero coop museum jobs mobi travel tel cat asia post xxx app dev page blog
cloud online site website store shop tech space live life world today email digital agency company group team work
works studio design media news network systems solutions services software academy school university center club
community foundation global international consulting capital ventures finance bank fund health care law legal art
photography xyz top vip icu link click berlin london paris nyc tokyo amsterdam wien hamburg koeln bayern swiss quebec
scot wales eus gal google amazon apple microsoft bmw ibm cern
"""
TOP_LEVEL = frozenset((_COUNTRIES + _GENERIC).split())

# Reserved (RFC 2606, RFC 6762), or written in place of one.
_NOWHERE = """
example.com example.org example.net example test invalid localhost local domain.com yourdomain.com
users.noreply.github.com
"""
NOWHERE = tuple(_NOWHERE.split())
_NOBODY = """
noreply no-reply git root nobody mailer-daemon foo bar baz user username you your.name your.email name
"""
NOBODY = frozenset(_NOBODY.split())

# Name servers that everybody knows: never a version.
_RESOLVERS = """
8.8.8.8 8.8.4.4 1.1.1.1 1.0.0.1 9.9.9.9 2001:4860:4860::8888 2001:4860:4860::8844 2606:4700:4700::1111
"""
RESOLVERS = frozenset(_RESOLVERS.split())

# ISO 13616: country and length.
_IBAN = """
AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 ES24 FI18
FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20
LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24
SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30
"""
IBAN_SIZES = {written[:2]: int(written[2:]) for written in _IBAN.split()}
