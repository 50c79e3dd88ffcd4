"use strict";
// Asks this server and the browser's WebAuthn; puts answers into the page as text.
const at = (id) => document.getElementById(id);

async function ask(path, body) {
  const answer = await fetch("/signin/" + path, body === undefined
    ? { headers: { Accept: "application/json" } }
    : { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  const out = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(out.detail), { status: answer.status });
  return out;
}

function told(work) {
  return async (event) => {
    event?.preventDefault();
    at("problem").hidden = true;
    try { await work(event); } catch (e) {
      if (e.status === 401 && document.body.dataset.page === "session") { location.assign("/signin"); return; }
      at("why").textContent = e.message;
      at("problem").hidden = false;
    }
  };
}

async function assertion(options) {
  const key = await navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options.publicKey) });
  return key.toJSON();
}

async function signIn() {
  await ask("passkey/finish", await assertion(await ask("passkey/begin", {})));
  location.assign("/signin/session");
}

async function enrol() {
  const options = await ask("enrol/begin", { code: at("code").value });
  const key = await navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options.publicKey) });
  const made = await ask("enrol/finish", key.toJSON());
  at("print").textContent = made.print;
  at("done").hidden = false;
}

async function show() {
  const s = await ask("sessions");
  at("staff").textContent = s.staff;
  at("role").textContent = s.role;
  at("roles").replaceChildren(...s.roles.map((r) => new Option(r, r, false, r === s.role)));
  const list = at("list");
  list.replaceChildren(...s.sessions.map((z) => {
    if (z.id === s.session) at("touched").textContent = z.touched ?? "";
    const row = document.createElement("tr");
    for (const text of [z.id, z.staff, z.device, z.opened, z.closed ? list.dataset.closed : z.expires]) row.insertCell().textContent = text;
    if (!z.closed && z.id !== s.session) {
      const button = document.createElement("button");
      button.textContent = list.dataset.close;
      button.addEventListener("click", told(async () => { await ask("close", { session: z.id }); await show(); }));
      row.insertCell().append(button);
    }
    return row;
  }));
  document.body.dataset.ready = "yes";
}

const page = document.body.dataset.page;
if (page === "signin") at("passkey").addEventListener("click", told(signIn));
if (page === "enrol") at("enrol").addEventListener("submit", told(enrol));
if (page === "through") location.replace("/signin/session");
if (page === "session") {
  at("act-touch").addEventListener("submit", told(async () => {
    at("act-code").value = "";
    const done = await ask("touch/finish", await assertion(await ask("touch/begin", { for: at("for").value.trim() })));
    at("act-code").value = done.touch;
  }));
  at("touch").addEventListener("click", told(async () => { await ask("touch/finish", await assertion(await ask("touch/begin", {}))); await show(); }));
  at("act").addEventListener("click", told(async () => { await ask("role", { role: at("roles").value }); await show(); }));
  at("out").addEventListener("click", told(async () => { await ask("out", {}); location.assign("/signin"); }));
  told(show)();
}
