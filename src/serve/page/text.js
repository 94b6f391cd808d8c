// What the page says, in English and Chinese. `{0}` stands for what is told with it.
const english = {
  skip: "Skip to the content", sections: "Sections", new: "New export", exports: "Exports", files: "Files", log: "Log",
  language: "Language", colours: "Colours", colours_auto: "As the system", colours_light: "Light", colours_dark: "Dark",
  login: "Log in", logout: "Log out", logged_in: "Logged in as {0}", user_name: "User name", password: "Password",
  password_or_token: "Password or token", token: "Token", login_hint: "Leave it empty to log in with a token.",
  logged_out: "The session has ended. Log in again.", you_left: "You are logged out.",
  list: "Images", list_hint: "A name a line, a compose file or Kubernetes manifests. Files can be dropped here.",
  open_file: "Open a file…", verdicts: "Each line, checked", line: "Line {0}: {1}", repeated: "named above already",
  list_good: "{0} to export.", list_bad: "{0} to export; {1} to mend, first: {2}",
  list_too_many: "{0}: a server takes {1} at once.", list_not_text: "{0} is no text in UTF-8. Save it as such.", list_large: "{0} is too large for a list.",
  platform: "Platform", platform_hint: "Empty: linux/amd64. Several with commas.", layers: "Layers",
  layers_auto: "As every loader takes them", layers_keep: "As the registry has them", layers_plain: "Uncompressed",
  archives: "Archives", archive_each: "One for each image", archive_one: "One for all", archive_name: "Its name",
  credentials: "Credentials of the source",
  credentials_hint: "Kept in memory only, and never shown again.", source_registry: "Registry",
  source_registry_hint: "Needed where the images are of several.", proxy: "Proxy", start: "Start", started: "The export has begun.",
  no_exports: "Nothing is being exported.", history: "History",
  queued: "waiting", running: "running", paused: "paused", interrupted: "interrupted", done: "done", failed: "failed",
  cancelled: "cancelled", waiting: "waiting", resolving: "asking the registry", fetching: "fetching", writing: "writing",
  inflating: "unpacking", checking: "checking", left_out: "not begun", failed_count: "{0} failed",
  cancel: "Cancel", retry: "Carry on", retry_failed: "Try again", again: "Use its list again", forget: "Remove", details: "Details and log",
  close: "Close",
  and_more: "{0} and {1} more", by: "{0}, by {1}", progress_of: "Progress of {0}",
  per_second: "{0}/s", left: "{0} left", of: "{0} of {1}", said_of: "{0}: {1}", needs_credentials: "It had credentials or a proxy, which a restart forgot. Give them again, or carry on without.",
  wants_login: "It was refused for want of a login. Give other credentials, or none to try as before.",
  give_credentials: "Credentials to carry on with", empty_log: "Nothing was said yet.",
  tools: "Tools for files", filter: "Filter", delete_chosen: "Delete the chosen", delete_count: "Delete the chosen ({0})",
  cleanup: "Clean up…", cleanup_title: "Clean up", choose_all: "Choose all files shown", choose: "Choose {0}", name: "Name", size: "Size",
  created: "Created", images_inside: "Images inside", actions: "Actions", no_files: "There are no files.",
  no_match: "No file has that in its name or images.", download: "Download", script: "Script",
  copy: "Copy load command", copied: "Copied: {0}", copy_by_hand: "Copy this: {0}", copy_sum: "copy the SHA-256 of {0}",
  read_sum: "Work out", sum_of: "the SHA-256 of {0}", delete: "Delete", keep: "Keep", not_now: "Not now",
  sure_one: "Delete this file?", sure_many: "Delete these {0} files?", deleted: "Deleted: {0}", deleted_count: "{0} deleted, {1} freed.",
  would_go: "What would go", max_age: "Delete what is older than (days)", max_files: "Keep no more than (files)",
  cleanup_changed: "The files are others now. Look again. ", cleanup_nothing: "Nothing would go.", cleanup_ask: "Say how old or how many.", cleanup_would: "{0} would go, {1} in all:",
  more: "Show {0} more", room: "{0} in {1}; {2} free", room_of: "{0} in {1}; {2} allowed, {3} free", in_folder: "in {0}",
  when: "When", who: "Who", from: "From", what: "What", ended: "How it ended", no_log: "Nothing was done yet.", nobody: "—",
  did_login: "login", did_logout: "logout", did_export: "new export", did_exported: "end of the export", did_cancel: "cancel",
  did_retry: "carry on", did_forget: "remove from the list", did_download: "download", did_delete: "delete",
  did_cleanup: "clean up", did_start: "server start", did_stop: "server stop", did_registry: "serve as a registry",
  ended_ok: "✓", ended_refused: "refused", person_anyone: "anyone", person_token: "whoever has the token",
  unreachable: "The server does not answer. Trying again…", back: "The server answers again.", refused: "The server said {0}.",
  failed_of: "{0}: {1}", days: "{0} d", hours: "{0} h {1} min", minutes: "{0} min {1} s", seconds: "{0} s",
  images_one: "1 image", images_many: "{0} images", files_one: "1 file", files_many: "{0} files", lines_one: "1 line", lines_many: "{0} lines",
};

const chinese = {
  skip: "跳到正文", sections: "页面分区", new: "新建导出", exports: "导出任务", files: "文件", log: "日志",
  language: "语言", colours: "配色", colours_auto: "跟随系统", colours_light: "浅色", colours_dark: "深色",
  login: "登录", logout: "退出", logged_in: "当前用户：{0}", user_name: "用户名", password: "密码",
  password_or_token: "密码或令牌", token: "令牌", login_hint: "留空则使用令牌登录。",
  logged_out: "会话已结束，请重新登录。", you_left: "已退出登录。",
  list: "镜像", list_hint: "每行一个镜像名，也可以是 compose 文件或 Kubernetes 清单；可将文件拖放到此处。",
  open_file: "打开文件…", verdicts: "逐行检查结果", line: "第 {0} 行：{1}", repeated: "前面已经写过",
  list_good: "将导出 {0}。", list_bad: "可导出 {0}；有 {1}需要修改，第一处：{2}",
  list_too_many: "{0}：服务器一次最多接受 {1}。", list_not_text: "{0} 不是 UTF-8 文本，请另存为 UTF-8 编码。", list_large: "{0} 太大，不能作为列表。",
  platform: "平台", platform_hint: "留空为 linux/amd64，多个平台用逗号分隔。", layers: "镜像层",
  layers_auto: "所有工具都能加载的形式", layers_keep: "与仓库中一致", layers_plain: "不压缩",
  archives: "归档", archive_each: "每个镜像一个文件", archive_one: "全部放进一个文件", archive_name: "文件名",
  credentials: "源仓库凭据",
  credentials_hint: "只保存在内存中，不会再次显示。", source_registry: "仓库地址",
  source_registry_hint: "镜像来自多个仓库时必须填写。", proxy: "代理", start: "开始", started: "导出已开始。",
  no_exports: "当前没有导出任务。", history: "历史",
  queued: "排队中", running: "进行中", paused: "已暂停", interrupted: "已中断", done: "已完成", failed: "失败",
  cancelled: "已取消", waiting: "等待中", resolving: "正在查询仓库", fetching: "正在下载", writing: "正在写入",
  inflating: "正在解压", checking: "正在校验", left_out: "未开始", failed_count: "{0} 个失败",
  cancel: "取消", retry: "继续", retry_failed: "重试", again: "再次使用列表", forget: "移除", details: "详情与日志",
  close: "关闭",
  and_more: "{0} 以及另外 {1} 个", by: "{0}，操作者：{1}", progress_of: "{0} 的进度",
  per_second: "{0}/秒", left: "剩余 {0}", of: "{0} / {1}", said_of: "{0}：{1}", needs_credentials: "它使用过凭据或代理，重启后已不再保留；请重新填写，或留空继续。",
  wants_login: "因登录问题被拒绝。请填写其他凭据，或留空按原样重试。",
  give_credentials: "继续所需的凭据", empty_log: "暂无内容。",
  tools: "文件操作", filter: "筛选", delete_chosen: "删除所选", delete_count: "删除所选（{0}）",
  cleanup: "清理…", cleanup_title: "清理", choose_all: "选择所有列出的文件", choose: "选择 {0}", name: "文件名", size: "大小",
  created: "创建时间", images_inside: "包含的镜像", actions: "操作", no_files: "还没有文件。",
  no_match: "没有文件名或镜像名与此相符。", download: "下载", script: "脚本",
  copy: "复制加载命令", copied: "已复制：{0}", copy_by_hand: "请复制：{0}", copy_sum: "复制 {0} 的 SHA-256",
  read_sum: "计算", sum_of: "{0} 的 SHA-256", delete: "删除", keep: "保留", not_now: "暂不",
  sure_one: "删除这个文件？", sure_many: "删除这 {0} 个文件？", deleted: "已删除：{0}", deleted_count: "已删除 {0}，释放 {1}。",
  would_go: "将被删除的内容", max_age: "删除多少天以前的文件", max_files: "最多保留（个文件）",
  cleanup_changed: "文件已有变化，请重新确认。", cleanup_nothing: "没有文件会被删除。", cleanup_ask: "请填写天数或数量。", cleanup_would: "将删除 {0}，共 {1}：",
  more: "再显示 {0} 条", room: "{1}，共 {0}，剩余空间 {2}", room_of: "{1}，共 {0}，限额 {2}，剩余空间 {3}", in_folder: "位于 {0}",
  when: "时间", who: "用户", from: "来源", what: "操作", ended: "结果", no_log: "还没有任何操作。", nobody: "—",
  did_login: "登录", did_logout: "退出登录", did_export: "新建导出", did_exported: "导出结束", did_cancel: "取消导出",
  did_retry: "继续导出", did_forget: "从列表移除", did_download: "下载", did_delete: "删除",
  did_cleanup: "清理", did_start: "服务器启动", did_stop: "服务器停止", did_registry: "作为镜像仓库提供",
  ended_ok: "✓", ended_refused: "被拒绝", person_anyone: "匿名用户", person_token: "令牌持有者",
  unreachable: "服务器没有响应，正在重试…", back: "服务器已恢复响应。", refused: "服务器返回 {0}。",
  failed_of: "{0}：{1}", days: "{0} 天", hours: "{0} 小时 {1} 分", minutes: "{0} 分 {1} 秒", seconds: "{0} 秒",
  images_one: "1 个镜像", images_many: "{0} 个镜像", files_one: "1 个文件", files_many: "{0} 个文件", lines_one: "1 行", lines_many: "{0} 行",
};

// What the server refuses, by its code; `{0}` is the server's own words, which are English.
const refused = {
  login_first: "请先登录。", wrong_password: "用户名或密码错误。", wrong_token: "令牌错误。", too_many_logins: "登录失败次数过多，请稍后再试。",
  foreign_origin: "该请求来自其他网页，已被拒绝。若使用反向代理，请让它原样传递 Host 头。",
  wrong_host: "服务器不接受用这个主机名访问。请使用其地址，或在启动时加上 --host。",
  no_page: "没有这个页面。", no_file: "该文件已不存在。", no_export: "该导出任务已不存在。", stopping: "服务器正在停止，请稍后再试。",
  unreadable: "该文件无法作为归档读取。", nameless: "归档中有的镜像没有名称，无法生成脚本。", no_manifest: "归档中没有镜像清单，无法生成脚本；可以直接使用加载命令。",
  too_large: "请求太大。", too_slow: "请求传输太慢，已超时。", cut_short: "请求在传输中被中断。",
  bad_age: "天数无效。", bad_name: "文件名为空或太长。", no_images: "没有填写镜像。",
  too_many_images: "镜像太多，请分成几次导出。", bad_image: "有的镜像名写错了。", bad_platform: "平台有误，应类似 linux/amd64。",
  bad_registry: "仓库地址有误。", other_registry: "没有镜像来自所填凭据的仓库。",
  several_registries: "镜像来自多个仓库，请填写凭据属于哪个仓库。", bad_proxy: "代理地址有误，应类似 http://proxy:8080。",
  too_many_watch: "同时查看进度的人太多，请稍后再试。", too_many_exports: "等待中的导出任务太多，请先移除一些。",
  wrong_state: "任务状态已变，现在不能这样做。", needs_credentials: "凭据或代理在重启后已不再保留，请重新填写。",
  name_of_several: "只有全部放进一个文件时才能指定文件名。", bad_limit: "条数无效。", not_allowed: "不支持这种请求方法。",
  bad_json: "请求不是有效的 JSON。", not_json: "请求不是 JSON。", out_of_range: "超出文件范围。", failed: "服务器出错：{0}",
  no_name: "缺少仓库名", upper_case: "仓库名只能用小写字母",
  bad_character: "仓库名只能包含 a-z、0-9，以及它们之间的 . _ __ - /", bad_separator: "分隔符只能单独出现在字母或数字之间（可用 __ 和连续的 -）",
  empty_part: "两个斜杠之间为空", bad_host: "仓库主机名无效", bad_port: "端口应为 1 到 65535 的数字",
  bad_tag: "标签为 1 到 128 个字母、数字或 _ . -，且不能以 . 或 - 开头", bad_digest: "摘要无效，应为 sha256: 加 64 位十六进制数",
  has_credentials: "这里不能写用户名和密码", has_scheme: "镜像名不带 http:// 之类的前缀", too_long: "名称最多 255 个字符",
  looks_like_id: "64 位十六进制数是镜像 ID，不是名称；按摘要拉取请写 name@sha256:…",

  // Why an image failed; the English words are in the export's log, and under the pointer.
  unauthorized: "仓库要求登录，请填写源仓库凭据后重试。", wrong_credentials: "仓库不接受所填的凭据，可能填写有误或已过期。",
  denied: "登录成功，但无权拉取这个镜像。", login_failed: "无法登录仓库。", not_found: "仓库中没有这个镜像，或缺少其中一部分。",
  no_platform: "该镜像没有所选平台的版本。", several_platforms: "不压缩的镜像层不能把多个平台放进一个文件。",
  not_an_image: "这不是容器镜像，可能是 Helm chart 或签名等。", unsupported: "不支持这种旧格式或特殊类型的镜像。",
  too_many_requests: "仓库限制了请求次数，请稍后重试。", server_error: "仓库服务器或其存储出错，请稍后重试。",
  unknown_host: "找不到仓库的主机名，请检查名称和 DNS。", unreachable: "无法连接仓库，或连接中断；请检查网络和代理。",
  timed_out: "仓库太久没有响应，或传输太慢。", certificate: "仓库的证书不被信任，请检查 CA、主机名和有效期。",
  client_certificate: "仓库要求客户端证书。", plain_http: "仓库使用 HTTP 而不是 HTTPS；启动服务器时可用 --insecure 允许。",
  proxy: "代理出错或拒绝了请求。", bad_answer: "对方的回答不像镜像仓库。", damaged: "内容损坏或不完整。",
  settings: "服务器的设置有误，请联系管理员。", disk_full: "服务器的磁盘已满。", disk: "服务器无法写入或读取磁盘。",
  over_budget: "超出服务器允许占用的空间（--max-disk），请先删除或清理文件。", other: "出错：{0}",

  // Why it can't be told what is in a file.
  not_opened: "正在读取，请稍候。", no_names: "其中的镜像都没有名称。", not_an_archive: "这不是镜像归档。", packed: "这种压缩格式无法在此读取。",

  // What is wrong with a list that is YAML, and what is to be known of one.
  list_too_large: "列表太大，最多 4 MiB。", not_text: "不是 UTF-8 文本。", names_no_image: "其中没有镜像。",
  unknown_yaml: "既不是 compose 文件，也不是 Kubernetes 清单。", bad_yaml: "YAML 语法有误。", out_of_bounds: "嵌套太深或内容太大。",
  too_many_names: "镜像超过 10,000 个。", not_expected: "这里的内容不符合要求。", no_value: "变量没有值。",
  default_applied: "变量使用了默认值。", only_built: "这个服务只构建、没有镜像，已跳过。", without_image: "这个服务没有镜像，已跳过。",
  not_followed: "引用的其他文件不会被读取。",
};

const languages = { en: english, zh: chinese };
const refusals = { en: {}, zh: refused };
let language = "en";

// The browser's first language that the page speaks, unless one was chosen.
export function preferredLanguage(chosen) {
  const wanted = [chosen, ...navigator.languages].map((tag) => (tag ?? "").slice(0, 2).toLowerCase());
  return wanted.find((tag) => tag in languages) ?? "en";
}

export function speak(tag) {
  language = tag;
  document.documentElement.lang = tag === "zh" ? "zh-CN" : tag;
  for (const node of document.querySelectorAll("[data-text]")) node.textContent = text(node.dataset.text);
  for (const node of document.querySelectorAll("[data-label]")) node.setAttribute("aria-label", text(node.dataset.label));
}

export function text(key, ...told) {
  return filled(languages[language][key], told);
}

function filled(words, told) {
  return words.replace(/\{(\d)\}/g, (_, index) => told[index]);
}

// A word that servers may have more of than the page knows.
export function wordOr(key, otherwise) {
  return Object.hasOwn(languages[language], key) ? text(key) : otherwise;
}

export function person(name) {
  return wordOr(`person_${name}`, name);
}

// What the server refuses: by its code, if the page knows that, else in the server's own words.
export function refusal({ code, error, hint }) {
  const words = [error, hint].filter(Boolean).join("\n");
  const known = refusals[language];
  return Object.hasOwn(known, code) ? filled(known[code], [words]) : words;
}

// "1 image", "3 images".
export function count(noun, number) {
  return number === 1 ? text(`${noun}_one`) : text(`${noun}_many`, number.toLocaleString(document.documentElement.lang));
}

const UNITS = ["B", "kB", "MB", "GB", "TB", "PB"];

export function size(bytes) {
  const power = bytes < 1000 ? 0 : Math.min(Math.floor(Math.log10(bytes) / 3), UNITS.length - 1);
  const number = bytes / 1000 ** power;
  return `${number.toFixed(power === 0 || number >= 100 ? 0 : 1)} ${UNITS[power]}`;
}

export function duration(seconds) {
  if (seconds < 60) return text("seconds", Math.ceil(seconds));
  if (seconds < 3600) return text("minutes", Math.floor(seconds / 60), Math.floor(seconds % 60));
  if (seconds < 172800) return text("hours", Math.floor(seconds / 3600), Math.floor((seconds % 3600) / 60));
  return text("days", Math.floor(seconds / 86400));
}

// How the browser's person writes times, in the page's language.
function locale() {
  return navigator.languages.find((tag) => tag.startsWith(language)) ?? document.documentElement.lang;
}

// A file's time may be one that no calendar has; it stays as it was told.
function moment(told, form) {
  const date = new Date(told);
  return Number.isNaN(date.getTime()) ? told : date.toLocaleString(locale(), form);
}

export function time(told) {
  return moment(told, { dateStyle: "medium", timeStyle: "short" });
}

export function clock(told) {
  return moment(told, { timeStyle: "medium" });
}
