# Builds llama.cpp's server and none of its other tools, and compiles the many small files of its
# models a few at a time: together less than half of the time. Read by `make engine`.

function(build_only_the_server)
  get_property(tools DIRECTORY tools PROPERTY SUBDIRECTORIES)
  foreach(tool ${tools})
    if(NOT tool MATCHES "/server$")
      set_property(DIRECTORY ${tool} PROPERTY EXCLUDE_FROM_ALL ON)
    endif()
  endforeach()
  file(GLOB apart ${PROJECT_SOURCE_DIR}/src/*.cpp)
  set_source_files_properties(${apart} TARGET_DIRECTORY llama PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
  set_target_properties(llama PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 16)
endfunction()

cmake_language(DEFER CALL build_only_the_server)
