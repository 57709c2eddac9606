/* How the page looks: light or dark as the reader's system is, and plain on paper. Eight colours that people with any
 * kind of colour vision tell apart (Okabe and Ito, "Color Universal Design", 2008), in the dark ones lighter. */
#include "report/page_parts.h"

static const char *const style[] = {
    ":root{--ground:#fff;--card:#fff;--ink:#1c2530;--soft:#5b6673;--rule:#e3e7ec;--base:#9aa4b0;--head:#f5f7f9;",
    "--c0:#0072b2;--c1:#d55e00;--c2:#009e73;--c3:#b3568d;--c4:#b58900;--c5:#3d9fd6;--c6:#6b4fa0;--c7:#4d5864;",
    "--bad:#c62828;--good:#1b7f4b}\n",
    "@media(prefers-color-scheme:dark){:root{--ground:#12161b;--card:#181d24;--ink:#e3e8ee;--soft:#98a3b0;",
    "--rule:#2a313a;--base:#5d6875;--head:#1d232b;--c0:#5ab4f0;--c1:#ff8a3d;--c2:#2fcf9d;--c3:#e59cc6;--c4:#e6bd3f;",
    "--c5:#9bd6fa;--c6:#b29ae6;--c7:#c1cad4;--bad:#ff7b72;--good:#58d68d}}\n",
    "*{box-sizing:border-box}\n",
    "body{margin:0;background:var(--ground);color:var(--ink);font:15px/1.5 system-ui,-apple-system,\"Segoe "
    "UI\",Roboto,",
    "\"Helvetica Neue\",\"Noto Sans\",\"Liberation Sans\",\"DejaVu Sans\",sans-serif;",
    "font-variant-numeric:tabular-nums}\n",
    "header,main,footer{max-width:1180px;margin:0 auto;padding:0 24px}\n",
    "header{display:flex;flex-wrap:wrap;align-items:baseline;gap:4px 14px;padding-top:28px}\n",
    "h1{font-size:28px;line-height:1.2;margin:0;overflow-wrap:anywhere}\n",
    "h2{font-size:19px;margin:36px 0 10px}\n",
    "h2 small{font-weight:400;font-size:15px;color:var(--soft);margin-left:6px;overflow-wrap:anywhere}\n",
    "code,pre{font:13px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,\"DejaVu Sans Mono\",monospace}\n",
    "header code,footer,.note{color:var(--soft)}\n.note{margin:6px 0;font-size:13px}\n",
    "footer{padding-top:40px;padding-bottom:28px;font-size:13px}\n",
    ".state{font-size:12px;padding:1px 9px;border-radius:9px;border:1px solid currentColor;color:var(--soft)}\n",
    ".state.running{color:var(--c1)}.state.finished{color:var(--good)}\n",
    ".damage{border-left:3px solid var(--bad);padding:4px 12px;margin:14px 0}\n",
    /* figures */
    ".figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:1px;margin:22px 0 0;",
    "background:var(--card);border:1px solid var(--rule);border-radius:8px;overflow:hidden}\n",
    ".figures div{box-shadow:0 0 0 1px var(--rule);padding:12px 16px}\n",
    ".figures dt{font-size:13px;color:var(--soft)}\n",
    ".figures dd{margin:0;font-size:22px;font-weight:600;line-height:1.3}\n",
    ".figures dd.note{font-size:12px;font-weight:400;line-height:1.4;margin-top:2px}\n",
    /* plots */
    ".wide{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,480px),1fr));gap:18px}\n",
    ".tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,235px),1fr));gap:18px;margin-top:18px}"
    "\n",
    ".stack{display:grid;grid-template-columns:minmax(0,1fr);gap:18px}\n",
    "figure.plot{margin:0;min-width:0;background:var(--card);border:1px solid var(--rule);border-radius:8px;",
    "padding:12px 14px 8px;break-inside:avoid}\n",
    "figcaption{font-size:13px;color:var(--soft)}figcaption b{color:var(--ink);font-size:14px;margin-right:4px}\n",
    ".frame{padding:12px var(--names) 22px 46px}.small .frame{padding-right:10px}\n",
    ".axes{display:block;width:100%;overflow:visible}\n",
    ".axes text{font-size:12px;fill:var(--soft)}\n",
    ".grid line{stroke:var(--rule)}.grid .base,.grid .tick{stroke:var(--base)}.grid svg,.cross{overflow:visible}\n",
    ".curve path,.cross path{fill:none;stroke:var(--c);vector-effect:non-scaling-stroke;stroke-linejoin:round;",
    "stroke-linecap:round;stroke-width:1.75}\n",
    ".curve .dots{stroke-width:6}\n.thin .line{stroke-width:1.25;opacity:.6}\n",
    ".dashed path{opacity:.5}.broken .line{stroke-dasharray:5 4}.dashed .dots{stroke-width:5}\n",
    ".curve .cross path{stroke:var(--bad);stroke-width:2;opacity:1}\n",
    "line.level{stroke:var(--ink);stroke-dasharray:2 3;opacity:.7}\n",
    ".strips rect{fill:var(--ink);opacity:0}.strips rect:hover{opacity:.08}\n",
    ".names text{fill:var(--c);font-weight:600}.names .level{fill:var(--ink);font-weight:400}\n",
    ".x-name{text-align:center;font-size:12px;color:var(--soft);margin-top:-4px}\n",
    ".c0{--c:var(--c0)}.c1{--c:var(--c1)}.c2{--c:var(--c2)}.c3{--c:var(--c3)}\n",
    ".c4{--c:var(--c4)}.c5{--c:var(--c5)}.c6{--c:var(--c6)}.c7{--c:var(--c7)}\n",
    ".legend{list-style:none;display:flex;flex-wrap:wrap;gap:2px 16px;margin:4px 0 0;padding:0;font-size:13px}\n",
    ".legend li::before,.swatch{content:\"\";display:inline-block;width:18px;border-top:3px solid var(--c);",
    "margin-right:6px;vertical-align:4px}\n",
    ".legend li.broken::before,.swatch.broken{border-top-style:dashed}\n",
    ".legend li.thin::before{opacity:.6}\n",
    ".legend li.level::before{border-top:2px dotted var(--ink)}.legend b{font-weight:600}\n",
    /* heat maps: sixteen steps of viridis (Smith and van der Walt, matplotlib), from low to high */
    ".heat .frame{padding:10px 10px 22px 76px}.cells path{fill:none;stroke-width:1;shape-rendering:crispEdges}.cells "
    ".empty{stroke:var(--rule)}\n",
    ".h0{stroke:#440154}.h1{stroke:#481a6c}.h2{stroke:#472f7d}.h3{stroke:#414487}\n",
    ".h4{stroke:#39568c}.h5{stroke:#31688e}.h6{stroke:#2a788e}.h7{stroke:#23888e}\n",
    ".h8{stroke:#1f988b}.h9{stroke:#22a884}.h10{stroke:#35b779}.h11{stroke:#54c568}\n",
    ".h12{stroke:#7ad151}.h13{stroke:#a5db36}.h14{stroke:#d2e21b}.h15{stroke:#fde725}\n",
    ".ramp{float:right}.ramp i{display:inline-block;width:90px;height:9px;margin:0 6px;",
    "border-radius:2px;background:linear-gradient(90deg,#440154,#39568c,#1f988b,#7ad151,#fde725)}\n",
    /* tables */
    ".scroll{overflow-x:auto;border:1px solid var(--rule);border-radius:8px;background:var(--card);width:fit-content;",
    "max-width:100%}\n",
    "table{border-collapse:collapse;font-size:14px}\n",
    "th,td{padding:6px 14px;text-align:right;white-space:nowrap;font-weight:400}\n",
    "th:first-child,.left{text-align:left}\n",
    "td.so-far{color:var(--soft)}#runs td:nth-child(2):not(.so-far){font-weight:600}\n",
    "thead th{background:var(--head);color:var(--soft);font-size:13px}\n",
    "tbody tr+tr>*{border-top:1px solid var(--rule)}\n",
    /* text */
    "details{border:1px solid var(--rule);border-radius:8px;margin:8px 0;background:var(--card)}\n",
    "summary{padding:8px 14px;cursor:pointer}\n",
    "pre{margin:0;padding:10px 14px;overflow-x:auto;border-top:1px solid var(--rule)}\n",
    ".samples{list-style:none;margin:0;padding:0;border:1px solid var(--rule);border-radius:8px;",
    "background:var(--card)}\n",
    ".samples li{display:grid;grid-template-columns:150px 1fr;gap:4px 18px;padding:10px 16px}\n",
    ".samples li+li{border-top:1px solid var(--rule)}\n",
    ".samples div{font-size:13px;color:var(--soft)}.samples b{color:var(--ink)}\n",
    ".samples p{margin:0;white-space:pre-wrap;overflow-wrap:anywhere}\n",
    ".state.failed{color:var(--bad)}\n",
    ".effect{display:grid;gap:10px;align-content:start;min-width:0}.effect .scroll{width:100%}.effect "
    "table{width:100%}\n",
    ".separate .dots{stroke-width:9;opacity:.75}.separate .dots:hover{stroke-width:13;opacity:1}\n",
    ".warnings li{border-left:4px solid var(--c1)}\n.wide.heats{align-items:start}\n",
    "@media(min-width:641px){.named .legend{display:none}}\n",
    /* small screens, paper */
    "@media(max-width:640px){header,main,footer{padding-left:12px;padding-right:12px}\n",
    ".frame{padding-right:10px}.names{display:none}.samples li{grid-template-columns:1fr}}\n",
    "@media print{:root{--ground:#fff;--card:#fff;--ink:#000;--soft:#444;--rule:#ccc;--base:#777;--head:#eee}\n",
    "body{font-size:11px}main,header,footer{max-width:none;padding:0}.scroll{overflow:visible}\n",
    "section,.samples li{break-inside:auto}h2{break-after:avoid}.strips{display:none}}\n",
};

void bt_page_style(struct bt_text_buf *out)
{
    for (size_t i = 0; i < sizeof style / sizeof style[0]; i++)
        bt_text_add(out, "%s", style[i]);
}
